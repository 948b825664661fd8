"""What is learnt of train rows as they stream by, in bounded memory."""
