"""Where results live: a folder or a bucket behind one small seam, records that make results visible, no more."""
