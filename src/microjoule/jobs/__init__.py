"""How long work is kept, resumed and protected: the one run folder."""
