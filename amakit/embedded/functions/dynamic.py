"""Functions of KQL over dynamic values that are Python: bags, sets, arrays and paths into them."""

import itertools
import json
import re

from amakit.embedded.functions.scalars import function


@function("j", "j")
def _bag_keys(bag):
    return list(bag) if isinstance(bag, dict) else None


@function("jjJJJ", "j")
def _bag_merge(*bags):
    merged = {}
    for bag in bags:
        merged = merged | {k: v for k, v in (bag or {}).items() if k not in merged}
    return merged


@function("js", "b")
def _bag_has_key(bag, key):
    if not isinstance(bag, dict):
        return None
    return _at_path(bag, key)[0] if key.startswith("$") else key in bag


@function("jj", "j")
def _bag_remove_keys(bag, keys):
    if not isinstance(bag, dict):
        return None
    kept = json.loads(json.dumps(bag))
    for key in keys or []:
        *before, last = _steps(key)
        inner = _at_steps(kept, before)[1]
        if isinstance(inner, dict):
            inner.pop(last, None)
    return kept


@function("j", "j", "kql_bag_of")
def _bag_of(bags):
    return _bag_merge(*(bag for bag in bags if isinstance(bag, dict)))


@function("j", "j")
def _kql_without_empty(bag):
    return {k: v for k, v in bag.items() if v not in (None, "")}


@function("jsj", "j")
def _bag_set_key(bag, key, value):
    if not isinstance(bag, dict):
        return None
    changed = inner = json.loads(json.dumps(bag))
    *before, last = _steps(key)
    for step in before:
        if not isinstance(inner.get(step), dict):
            inner[step] = {}
        inner = inner[step]
    inner[last] = value
    return changed


@function("jj", "j")
def _bag_zip(keys, values):
    if not isinstance(keys, list):
        return None
    values = values if isinstance(values, list) else []
    pairs = itertools.zip_longest(keys, values[: len(keys)])
    return {key: value for key, value in pairs if isinstance(key, str)}


def _steps(path):
    """Give the keys on a JSON path; what does not begin with a dollar sign is one key."""
    if not path.startswith("$"):
        return [path]
    return [name or index for name, index in re.findall(r"""\.([\w$]+)|\[['"]?([^\]'"]+)['"]?\]""", path)]


def _at_path(value, path):
    return _at_steps(value, _steps(path))


def _at_steps(value, steps):
    for key in steps:
        if isinstance(value, list) and key.lstrip("-").isdigit() and -len(value) <= int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return False, None
    return True, value


@function("ss", "s", "extract_json", "extractjson")
def _extract_json(path, text):
    try:
        found = _at_path(json.loads(text), path)[1]
    except ValueError:
        return ""
    return "" if found is None else found if isinstance(found, str) else json.dumps(found, separators=(",", ":"))


def _unique(values):
    return list({json.dumps(v, sort_keys=True): v for v in values}.values())


@function("jjJJJ", "j")
def _set_union(*sets):
    return _unique(v for each in sets for v in each or [])


@function("jjJJJ", "j")
def _set_intersect(first, *others):
    return _unique(v for v in first or [] if all(v in (o or []) for o in others))


@function("jjJJJ", "j")
def _set_difference(first, *others):
    return _unique(v for v in first or [] if not any(v in (o or []) for o in others))


@function("jj", "b")
def _set_equals(left, right):
    return {json.dumps(v) for v in left or []} == {json.dumps(v) for v in right or []}


@function("jj", "r")
def _jaccard_index(left, right):
    both = len(_set_union(left, right))
    return len(_set_intersect(left, right)) / both if both else None


@function("jjj", "j", "array_iff", "array_iif")
def _array_iff(conditions, yes, no):
    if not isinstance(conditions, list):
        return None
    pick = [v if isinstance(v, list) else [v] * len(conditions) for v in (yes, no)]
    chosen = ((pick[0] if c else pick[1]) if isinstance(c, int | float) else [] for c in conditions)
    return [values[i] if i < len(values) else None for i, values in enumerate(chosen)]


@function("jj", "j")
def _array_split(array, at):
    if not isinstance(array, list):
        return None
    cuts = [max(len(array) + c, 0) if c < 0 else c for c in (at if isinstance(at, list) else [at])]
    return [array[a:b] for a, b in itertools.pairwise([0, *cuts, len(array)])]


def _shifted(array, by, fill):
    kept = [array[i + by] if 0 <= i + by < len(array) else fill for i in range(len(array))]
    return kept if isinstance(array, list) else None


@function("jlJ", "j")
def _array_shift_left(array, by, fill=None):
    return _shifted(array or [], by, fill)


@function("jlJ", "j")
def _array_shift_right(array, by, fill=None):
    return _shifted(array or [], -by, fill)


@function("jl", "j")
def _array_rotate_left(array, by):
    return [array[(i + by) % len(array)] for i in range(len(array))] if array else array


@function("jl", "j")
def _array_rotate_right(array, by):
    return _array_rotate_left(array, -by)


@function("jl", "j")
def _repeat(value, times):
    return [value] * times if times >= 0 else None


@function("sjL", "l")
def _has_any_index(text, wanted, _=0):
    def term(word):
        return re.search(rf"(?<![^\W_]){re.escape(str(word))}(?![^\W_])", text, re.IGNORECASE)

    return next((i for i, word in enumerate(wanted or []) if term(word)), -1)


@function("j", "s")
def _dynamic_to_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@function("j", "j")
def _treepath(value):
    return [path for path in _paths(value, "") if path]


def _paths(value, base):
    yield base
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{base}['{key}']")
    elif isinstance(value, list) and value:
        yield from _paths(value[0], f"{base}[0]")
