"""What a program of the gallery calls `figure` is shown under the block that made it."""

from sphinx_gallery.scrapers import figure_rst


def scraper(block, block_vars, gallery_conf):
    """Called by Sphinx-Gallery after each block of a program."""
    figure = block_vars["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=120)
    return figure_rst([path], gallery_conf["src_dir"])
