"""Paystack (https://paystack.com/docs), by its REST API."""
