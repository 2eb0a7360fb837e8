"""Networks, their scores, rows on devices, loading and saving. Know configurations, and nothing of training."""
