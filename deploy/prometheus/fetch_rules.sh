#!/bin/sh
# Fetches the alert rules that Amani publishes and has Prometheus load them: for a Prometheus that shares no
# folder with Amani. Run it beside Prometheus, for example as a sidecar. Needs curl 7.70 or newer.
#
#   AMANI_URL                https://amani.example.com
#   ALERT_RULES_TOKEN_FILE   a file with the token that Amani has as ALERT_RULES_TOKEN
#   RULES_FOLDER             a folder of Prometheus's rule_files (<folder>/*.yml)
#   PROMETHEUS_URL           default http://localhost:9090; it needs --web.enable-lifecycle
#   EVERY                    seconds between two looks, default 15
#
# Prometheus never sees half a file. A file that it does not load is taken back and tried again at the next look,
# so that it can always be restarted; Amani notices, and puts the rules before it in its place.
set -u

: "${AMANI_URL:?}" "${ALERT_RULES_TOKEN_FILE:?}" "${RULES_FOLDER:?}"
prometheus=${PROMETHEUS_URL:-http://localhost:9090}
cd "$RULES_FOLDER" || exit 1

say() {
  echo "fetch_rules: $*" >&2
}

reload() {
  curl --silent --show-error --fail --max-time 60 --request POST --output /dev/null "$prometheus/-/reload"
}

look() {
  # What a killed run left: a file that Prometheus may not load. The one before it is whole.
  if [ -f amani.yml.before ]; then mv amani.yml.before amani.yml; fi
  if [ ! -f amani.yml ]; then rm -f amani.etag; fi
  # The header through standard input: the arguments of a process can be read by others.
  status=$(printf 'Authorization: Bearer %s\n' "$(cat "$ALERT_RULES_TOKEN_FILE")" |
    curl --silent --show-error --max-time 30 --header @- \
      --etag-compare amani.etag --etag-save amani.etag.new \
      --output amani.yml.new --write-out '%{http_code}' "$AMANI_URL/api/v1/alerts/rules") || return
  case $status in
    200) ;;
    304) return ;;
    *) say "Amani answered $status; the rules stay as they are" && return ;;
  esac
  if [ -f amani.yml ]; then ln amani.yml amani.yml.before; fi
  mv amani.yml.new amani.yml
  if reload; then
    rm -f amani.yml.before
    mv amani.etag.new amani.etag
    say "Prometheus has loaded new rules"
  else
    say "Prometheus has not loaded the new rules; those before are in their place again"
    if [ -f amani.yml.before ]; then mv amani.yml.before amani.yml; else rm amani.yml; fi
    reload
  fi
}

while :; do
  look
  sleep "${EVERY:-15}" &
  wait $!  # so that a signal ends it at once
done
