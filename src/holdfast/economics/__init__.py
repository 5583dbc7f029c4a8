"""What storing, moving and reading bytes costs. Pure: prices and facts in, amounts with their currency and date out."""
