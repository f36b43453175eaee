"""How people come in: password, second factor, passkey, through django-allauth; and what the trail says of it."""
