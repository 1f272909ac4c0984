"""What other programs fetch from us over HTTP. It only reads."""
