"""What the JSON API of more than one app needs: writes that happen once, versions, pages."""
