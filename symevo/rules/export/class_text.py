"""The class of an exported file: methods that are the same for every rule, but for words in capitals.

The parts of an exported file that are the same for every rule.
"""

from __future__ import annotations

COMMON = '''
def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type of arithmetic and states: float32 for weights of half precision, else their own."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _check_gradient(grad: Tensor | None) -> None:
    if grad is not None and (grad.layout is not torch.strided or grad.is_complex()):
        raise RuntimeError("sparse and complex gradients are not supported")


def _each(numbers: Tensor, rows: list[tuple[Tensor, ...]]) -> None:
    """One step, tensor by tensor."""
    for row in rows:
        _one(numbers, *row)
'''
NUMBER = '''
def _number(state: dict[str, Any], name: str) -> float:
    """A number of a saved state."""
    value = state[name].item() if isinstance(state[name], Tensor) else state[name]
    if not isinstance(value, (int, float)):
        raise ValueError(f"the state dict's {name} must be a number, not {type(value).__name__}")
    return value
'''
ZEROS = '''
def _zeros(param: Tensor) -> Tensor:
    """A state before the first step."""
    return torch.zeros_like(param, dtype=_wide(param.dtype), memory_format=torch.preserve_format)


def _tensor(state: dict[str, Any], name: str, param: Tensor) -> Tensor:
    """A tensor of a saved state, which must have its weights' shape."""
    shape = getattr(state[name], "shape", None)
    if shape != param.shape:
        raise ValueError(f"the state dict is of another model: its {name} has shape {shape}, weights {param.shape}")
    return _zeros(param).copy_(state[name])
'''
MISTAKEN = '''
def _mistake(key: Any, value: Any, known: list[str]) -> str:
    """What is wrong with a param group's key that looks like a number of the rule; nothing with those of others."""
    if key == "weight_decay":
        return "the rule has no weight decay" if value else ""
    close = difflib.get_close_matches(str(key).lower(), known, n=1, cutoff=CLOSE)
    return f"did you mean {close[0]!r}?" if close and f"_{close[0]}_" not in f"_{key}_" else ""
'''

COMPILED = '''
_kernels: dict[Any, Callable[[list[Any]], Any] | None] = {}
_SHARED_FROM = 1 << 15
"""So many weights are worth the start of several threads."""


def _compiled(numbers: Tensor, rows: list[tuple[Tensor, ...]]) -> None:
    """One step by compiled code, which belongs to types and to no shape or number.

    A new learning rate or step count compiles nothing, nor does a further parameter.
    """
    if not numbers.is_cpu:
        return _together(numbers, rows)
    for row in rows:
        kernel = _kernel(numbers, *row) if _is_flat(row) else None
        if kernel is None:
            _one(numbers, *row)
        else:
            kernel([row[0].numel(), numbers, *row])
            torch.autograd.graph.increment_version(row[0])


def _is_flat(row: tuple[Tensor, ...]) -> bool:
    """Whether tensors are plain, and have as many weights in a CPU's memory, in one order and without gaps."""
    first, count, stride = row[0], row[0].numel(), row[0].stride()
    for one in row:
        plain = type(one) in (Tensor, torch.nn.Parameter) and one.is_cpu
        if not plain or one.numel() != count or one.stride() != stride:
            return False
    return count > 0 and (first.is_contiguous() or first.is_contiguous(memory_format=torch.channels_last))


def _kernel(*tensors: Tensor) -> Callable[[list[Any]], Any] | None:
    """The compiled update of one tensor, or None where there is no compiler; a warning says so, once."""
    threads = torch.get_num_threads() if tensors[1].numel() >= _SHARED_FROM else 1
    key = (threads, *[one.dtype for one in tensors])
    if key not in _kernels:
        try:
            _kernels[key] = _compile(tensors, threads)
        except Exception as error:  # no compiler, a version of Python that has none: they have no class in common
            if None not in _kernels.values():
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
                warnings.warn(f"no compiled steps: torch.compile does not work here ({reason})", stacklevel=2)
            _kernels[key] = None
    return _kernels[key]


def _compile(tensors: tuple[Tensor, ...], threads: int) -> Callable[[list[Any]], Any]:
    """One loop over n weights by torch's inductor, n being free: called directly, it takes a microsecond.

    Args:
        tensors: The numbers and tensors as they will be; their types count.
        threads: How many share the work.

    Returns:
        Function of one list ``[n, numbers, theta, g, *states]``, which it empties. It checks nothing.
    """
    from torch._functorch import config as functorch
    from torch._inductor import config as inductor
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner
    from torch._inductor.cpu_vec_isa import pick_vec_isa
    from torch.fx.experimental.proxy_tensor import make_fx

    found: list[Any] = []

    def keep(*args: Any, **options: Any) -> Any:
        found.append(compile_fx_inner(*args, **options))
        return found[-1]

    examples = [torch.zeros(1 << 16, dtype=one.dtype) for one in tensors[1:]]
    with torch.no_grad(), functorch.patch(enable_autograd_cache=False):  # its hits would pass by ``keep``
        graph = make_fx(lambda n, *inputs: _one(*inputs), tracing_mode="symbolic")(1 << 16, tensors[0], *examples)
        inputs = [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]
        width = pick_vec_isa().bit_width()  # set by name it is part of the key on disk: another processor has another
        with inductor.patch({"size_asserts": False, "cpp.threads": threads, "cpp.simdlen": width}):
            compile_fx(graph, inputs, keep)
    return found[0].current_callable
'''


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
