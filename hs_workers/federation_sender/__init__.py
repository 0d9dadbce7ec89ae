"""The role federation-sender: sends other servers what is for them."""
