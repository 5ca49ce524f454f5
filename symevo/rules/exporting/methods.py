"""The class of an exported file: methods that are the same for every rule, but for words in capitals."""

from __future__ import annotations

STEP = '''
@torch.no_grad()
def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
    """One step for every parameter that has a gradient.

    Args:
        closure: Evaluates the model again and returns the loss.

    Returns:
        The closure's loss, or None.
    """
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    if sum(map(len, self.param_groups)) != self._keys:
        self._look_at_keys()
    for group in self.param_groups:
        for param in group["params"]:
            _check_gradient(param.grad)
    for group in self.param_groups:
        self._update(group)
    return loss
'''
LAST = '''
def get_last_lr(self) -> list[float]:
    """The learning rate of the last step, one for each group, as torch's schedulers tell theirs."""
    return [float(group["lr"]) for group in self.param_groups]
'''
SCHEDULED = '''
def get_last_lr(self) -> list[float]:
    """The learning rate of the last step, one for each group, as torch's schedulers tell theirs.

    Before the first step it is the rate of that. A group's "lr" knows nothing of the rule's own schedule.
    """
    rates = []
    for group in self.param_groups:
        steps = [self.state[param].get("t", 1) for param in group["params"] if param in self.state]
        rates.append(self._rate(group, max(steps, default=1)))
    return rates
'''
KEYS = '''
def _look_at_keys(self) -> None:
    """Warns, once of each, of keys of groups that look like numbers of the rule; those of others are left alone."""
    self._keys = sum(map(len, self.param_groups))
    for group in self.param_groups:
        for key in group.keys() - self.defaults.keys() - self._told:
            mistake = _mistake(key, group[key], list(self.defaults))
            if mistake:
                self._told.add(key)
                warnings.warn(f"param group key {key!r} has no effect: {mistake}", stacklevel=3)
'''
LOADING = '''
def load_state_dict(self, state_dict: dict[str, Any]) -> None:
    """Continues bit for bit, or raises and changes nothing; what else a state holds is kept as torch keeps it."""
    last = self.register_load_state_dict_pre_hook(type(self)._check_states)  # type: ignore[arg-type]
    try:
        super().load_state_dict(state_dict)
    finally:
        last.remove()
        self.__dict__.pop("_loaded", None)

def _check_states(self, state_dict: dict[str, Any]) -> None:
    """Runs when all other pre-hooks have, and makes what :meth:`__setstate__` puts in place."""
NUMBERS
COUNTED
    groups, states = state_dict["param_groups"], state_dict["state"]
    saved = [index for group in groups for index in group["params"]]
    params = [param for group in self.param_groups for param in group["params"]]
    pairs = [(states[index], param) for index, param in zip(saved, params, strict=False) if states.get(index)]
    needed = NEEDED
    begun = [(state, param) for state, param in pairs if not needed.isdisjoint(state)]
    for state, _ in begun or pairs:
        if not needed.issubset(state):
            holds = ", ".join(sorted(map(str, state)))
            raise ValueError(f"the state dict is of another optimizer: it holds {holds}")
    for group in groups:
        if not numbers.issubset(group):
            missing = ", ".join(sorted(numbers.difference(group)))
            raise ValueError(f"the state dict is of another optimizer: it has no {missing}")
        _check_numbers({name: group[name] for name in numbers})
    self._loaded: dict[Tensor, dict[str, Any]] = {}
    for state, param in begun:
        self._loaded[param] = {name: _number(state, name) for name in counted}
'''
TENSORS = """        self._loaded[param].update({name: _tensor(state, name, param) for name in tensors})
"""
SETTING = '''
def __setstate__(self, state: dict[str, Any]) -> None:
    """Puts states in place as they were saved: torch gives them the type of their weights."""
    super().__setstate__(state)
    self._keys = 0
    for param, own in self.__dict__.pop("_loaded", {}).items():
        self.state[param].update(own)
'''
DISABLED = """
# A graph of torch.compile's would be made anew for a step's numbers.
CLASS.step = torch.compiler.disable(CLASS.step)  # type: ignore[method-assign]
"""
CHECKING = """
def _check_numbers(numbers: dict[str, Any]) -> None:
BOUNDED
RATES
    for name, value in numbers.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"{name} must be a number or a tensor of one element: {value}")
        if name in bounded and not 0.0 <= value < float("inf"):
            raise ValueError(f"{name} must be finite and not negative: {value}")
"""
RATES = """        if name in rates and not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must be at least 0 and less than 1: {value}")
"""
MEMORY = """
        for param, *_ in rows:
            self.state[param].update(zip(names, memory, strict=True))
"""
