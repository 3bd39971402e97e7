"""L1 to L5: postings a second through Python, beside the same SQL function alone and django-hordak."""
