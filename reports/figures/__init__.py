"""One file a kind of figure: `summarize(results)` computes, `draw(summary)` only draws."""
