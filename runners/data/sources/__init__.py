"""Sources of images: class folders, tables, timm's data sets and the embedded digits."""
