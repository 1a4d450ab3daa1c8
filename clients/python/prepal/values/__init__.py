"""What calls take and give: frozen values, and their translation to and from the messages of prepal.v1."""
