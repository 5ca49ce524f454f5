"""The classic optimizers, as data.

Each is what ``torch.optim`` computes: the same hyperparameters (``betas`` becomes beta1 and beta2, ``etas``
etaminus and etaplus), the same defaults, the same place of eps, weight decay coupled (added to the gradient)
or decoupled (a step of its own) as there. Where one torch class has several forms, each form is a rule: a
rule has no branch that another hyperparameter switches on, and needs no state that it does not use.

Adding one is one entry here; ``tests/rules/test_classic.py`` then asks for its reference.
"""

from __future__ import annotations

from symevo.registry import Registry
from symevo.rules.program import Program, Rule

CLASSICS: Registry[Rule] = Registry("rule")
"""Published optimizers by name."""


def _classic(name: str, text: str, **hyper: float) -> None:
    CLASSICS.register(name, Rule(Program.parse(text), hyper, name=name))


# --- Gradient descent (torch.optim.SGD) ---------------------------------------------------------------------

_classic("sgd", "theta = theta - lr*(g + weight_decay*theta)", lr=1e-3, weight_decay=0)

# The first step takes the gradient undamped, as torch does. torch's default momentum is 0, which is sgd.
_classic(
    "momentum",
    """
    d = g + weight_decay*theta
    buf = where(t <= 1, d, momentum*buf + (1 - dampening)*d)
    theta = theta - lr*buf
    """,
    lr=1e-3, momentum=0.9, dampening=0, weight_decay=0,
)  # fmt: skip

# torch allows no dampening here.
_classic(
    "nesterov",
    """
    d = g + weight_decay*theta
    buf = momentum*buf + d
    theta = theta - lr*(d + momentum*buf)
    """,
    lr=1e-3, momentum=0.9, weight_decay=0,
)  # fmt: skip

# --- Adam and its kin ---------------------------------------------------------------------------------------

# Kingma & Ba 2015, algorithm 1.
_classic(
    "adam",
    """
    d = g + weight_decay*theta
    m = beta1*m + (1 - beta1)*d
    v = beta2*v + (1 - beta2)*d**2
    m_hat = m/(1 - beta1**t)
    v_hat = v/(1 - beta2**t)
    theta = theta - lr*m_hat/(sqrt(v_hat) + eps)
    """,
    lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0,
)  # fmt: skip

# Loshchilov & Hutter 2019, algorithm 2; as in torch, lr scales the decay too.
_classic(
    "adamw",
    """
    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g**2
    m_hat = m/(1 - beta1**t)
    v_hat = v/(1 - beta2**t)
    theta = theta - lr*(m_hat/(sqrt(v_hat) + eps) + weight_decay*theta)
    """,
    lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2,
)  # fmt: skip

# Reddi, Kale & Kumar 2018, as torch.optim.Adam(amsgrad=True): the maximum is of the uncorrected second
# moment.
_classic(
    "amsgrad",
    """
    d = g + weight_decay*theta
    m = beta1*m + (1 - beta1)*d
    v = beta2*v + (1 - beta2)*d**2
    v_max = maximum(v_max, v)
    m_hat = m/(1 - beta1**t)
    v_hat = v_max/(1 - beta2**t)
    theta = theta - lr*m_hat/(sqrt(v_hat) + eps)
    """,
    lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0,
)  # fmt: skip

# Kingma & Ba 2015, algorithm 2; eps is added to the gradient, inside the maximum.
_classic(
    "adamax",
    """
    d = g + weight_decay*theta
    m = beta1*m + (1 - beta1)*d
    u = maximum(beta2*u, abs(d) + eps)
    theta = theta - lr/(1 - beta1**t)*m/u
    """,
    lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0,
)  # fmt: skip

# Dozat 2016. mu_product, the product of the momenta so far, is a number and no tensor.
_classic(
    "nadam",
    """
    d = g + weight_decay*theta
    mu = beta1*(1 - 0.5*0.96**(t*momentum_decay))
    mu_next = beta1*(1 - 0.5*0.96**((t + 1)*momentum_decay))
    mu_product = where(t <= 1, mu, mu_product*mu)
    m = beta1*m + (1 - beta1)*d
    v = beta2*v + (1 - beta2)*d**2
    v_hat = v/(1 - beta2**t)
    m_hat = mu_next/(1 - mu_product*mu_next)*m + (1 - mu)/(1 - mu_product)*d
    theta = theta - lr*m_hat/(sqrt(v_hat) + eps)
    """,
    lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0, momentum_decay=4e-3,
)  # fmt: skip

# NAdam with AdamW's weight decay, as torch.optim.NAdam(decoupled_weight_decay=True).
_classic(
    "nadamw",
    """
    mu = beta1*(1 - 0.5*0.96**(t*momentum_decay))
    mu_next = beta1*(1 - 0.5*0.96**((t + 1)*momentum_decay))
    mu_product = where(t <= 1, mu, mu_product*mu)
    m = beta1*m + (1 - beta1)*g
    v = beta2*v + (1 - beta2)*g**2
    v_hat = v/(1 - beta2**t)
    m_hat = mu_next/(1 - mu_product*mu_next)*m + (1 - mu)/(1 - mu_product)*g
    theta = theta - lr*(m_hat/(sqrt(v_hat) + eps) + weight_decay*theta)
    """,
    lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2, momentum_decay=4e-3,
)  # fmt: skip

# Liu et al. 2020, algorithm 2; as in torch, eps is added before the bias correction of the second moment.
_classic(
    "radam",
    """
    d = g + weight_decay*theta
    m = beta1*m + (1 - beta1)*d
    v = beta2*v + (1 - beta2)*d**2
    m_hat = m/(1 - beta1**t)
    rho_inf = 2/(1 - beta2) - 1
    rho = rho_inf - 2*t*beta2**t/(1 - beta2**t)
    r = sqrt((rho - 4)*(rho - 2)*rho_inf/((rho_inf - 4)*(rho_inf - 2)*rho))
    theta = theta - lr*m_hat*where(rho > 5, r*sqrt(1 - beta2**t)/(sqrt(v) + eps), 1)
    """,
    lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0,
)  # fmt: skip

# --- Scaling by past gradients ------------------------------------------------------------------------------

# Tieleman & Hinton 2012, lecture 6.5.
_classic(
    "rmsprop",
    """
    d = g + weight_decay*theta
    v = alpha*v + (1 - alpha)*d**2
    theta = theta - lr*d/(sqrt(v) + eps)
    """,
    lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0,
)  # fmt: skip

# torch's default momentum is 0, which is rmsprop.
_classic(
    "rmsprop-momentum",
    """
    d = g + weight_decay*theta
    v = alpha*v + (1 - alpha)*d**2
    buf = momentum*buf + d/(sqrt(v) + eps)
    theta = theta - lr*buf
    """,
    lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0.9,
)  # fmt: skip

# Graves 2013, equations 38 to 41 in torch's form: eps outside the root.
_classic(
    "rmsprop-centered",
    """
    d = g + weight_decay*theta
    v = alpha*v + (1 - alpha)*d**2
    d_bar = alpha*d_bar + (1 - alpha)*d
    theta = theta - lr*d/(sqrt(v - d_bar**2) + eps)
    """,
    lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0,
)  # fmt: skip

_classic(
    "rmsprop-centered-momentum",
    """
    d = g + weight_decay*theta
    v = alpha*v + (1 - alpha)*d**2
    d_bar = alpha*d_bar + (1 - alpha)*d
    buf = momentum*buf + d/(sqrt(v - d_bar**2) + eps)
    theta = theta - lr*buf
    """,
    lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0.9,
)  # fmt: skip

# Duchi, Hazan & Singer 2011.
_classic(
    "adagrad",
    """
    d = g + weight_decay*theta
    v = where(t <= 1, initial_accumulator_value, v) + d**2
    theta = theta - lr/(1 + (t - 1)*lr_decay)*d/(sqrt(v) + eps)
    """,
    lr=1e-2, lr_decay=0, initial_accumulator_value=0, eps=1e-10, weight_decay=0,
)  # fmt: skip

# Zeiler 2012, algorithm 1.
_classic(
    "adadelta",
    """
    d = g + weight_decay*theta
    v = rho*v + (1 - rho)*d**2
    delta = sqrt(u + eps)/sqrt(v + eps)*d
    u = rho*u + (1 - rho)*delta**2
    theta = theta - lr*delta
    """,
    lr=1.0, rho=0.9, eps=1e-6, weight_decay=0,
)  # fmt: skip

# --- Signs --------------------------------------------------------------------------------------------------

# Riedmiller & Braun 1993, without weight backtracking, as torch. lr is the first step size and nothing else.
_classic(
    "rprop",
    """
    agree = g*prev
    factor = where(agree > 0, etaplus, where(agree < 0, etaminus, 1))
    step_size = clip(where(t <= 1, lr, step_size)*factor, step_size_min, step_size_max)
    prev = where(agree < 0, 0, g)
    theta = theta - step_size*sign(prev)
    """,
    lr=1e-2, etaminus=0.5, etaplus=1.2, step_size_min=1e-6, step_size_max=50,
)  # fmt: skip

# Chen et al. 2023, algorithm 2: the update reads the momentum of the last step. Not in torch.optim.
_classic(
    "lion",
    """
    u = sign(beta1*m + (1 - beta1)*g)
    m = beta2*m + (1 - beta2)*g
    theta = theta - lr*(u + weight_decay*theta)
    """,
    lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0,
)  # fmt: skip

# Bernstein et al. 2018, algorithm 2. Not in torch.optim.
_classic(
    "signum",
    """
    m = momentum*m + (1 - momentum)*g
    theta = theta - lr*(sign(m) + weight_decay*theta)
    """,
    lr=1e-4, momentum=0.9, weight_decay=0,
)  # fmt: skip
