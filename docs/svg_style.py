"""What the drawn pictures have in common: their letters, their arrows and the ground that they stand on."""

_LETTERS = "text { font: 11px 'DejaVu Sans', Verdana, sans-serif; fill: #1f2937 }"
_ARROW = ".arrow { stroke: #475569; stroke-width: 2; fill: none }"
_HEAD_AND_GROUND = """<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0L8 4L0 8z" fill="#475569"/></marker></defs>
<rect width="100%" height="100%" fill="#fff"/>"""


def sheet(rules: str) -> str:
    """The beginning of a picture, with its own rules, a line each."""
    return "\n".join(["<style>", _LETTERS, rules, _ARROW, "</style>", _HEAD_AND_GROUND])
