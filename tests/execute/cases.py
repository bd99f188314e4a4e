"""Methods that the engine is tried with: name, variant, whether they take a base, parameters."""

METHODS = [
    ("linear", None, False, {}),
    ("ties", None, True, {"density": 0.3}),
    ("ties", "official", True, {"density": 0.3}),
    ("dare_ties", None, True, {"density": 0.5}),
    ("della", None, True, {}),
    ("sce", None, True, {"select_topk": 0.3}),
    ("model_stock", None, True, {}),
    ("karcher", None, False, {}),
    ("task_arithmetic", None, True, {"weight": 0.3, "lambda": 1.5}),
    ("dare_linear", "mergekit", True, {"density": 0.6}),
    ("breadcrumbs_ties", "mergekit", True, {"density": 0.6, "gamma": 0.1}),
    ("ties", "mergekit", True, {"density": 0.3, "rescale": True}),
    ("multislerp", None, True, {}),
    ("ram", None, True, {}),
    ("ramplus_tl", None, True, {}),
]
