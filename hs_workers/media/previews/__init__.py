"""What clients are shown of the pages that messages link to.

Spec: client-server-api/#get_matrixclientv1mediapreview_url; the pages' side is https://ogp.me and https://oembed.com.
"""
