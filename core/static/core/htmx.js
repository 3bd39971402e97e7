// Switches off what the content security policy forbids: a <style> made by script, and evaluated attributes.
"use strict";

htmx.config.includeIndicatorStyles = false; // core/console.css has the rules
htmx.config.allowEval = false;
