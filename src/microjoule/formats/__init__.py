"""What files hold, as plain values: each kind of file is opened in one place, and nothing in it is believed or run."""
