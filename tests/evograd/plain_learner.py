"""The reference: EvoGrad's training step, one individual, one layer, one sample and one signal at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy.special import expit

from symevo.evograd.layout import SLICES, tensors

Function: TypeAlias = Callable[..., Any]
TakenBack: TypeAlias = Callable[[np.ndarray], list[np.ndarray]]
Back: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def dense(net: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return net[f"{name}.weight"] @ x + net[f"{name}.bias"]


def statistics(x: np.ndarray) -> list[float]:
    mean = x.sum() / len(x)
    m2, m3, m4 = (((x - mean) ** k).sum() / len(x) for k in (2, 3, 4))
    std = np.sqrt(m2)
    skewness, kurtosis = (0.0, -3.0) if std <= 1e-10 else (m3 / std**3, m4 / std**4 - 3)
    return [mean, std, x.min(), x.max(), skewness, kurtosis]


def applied(function: Function, *inputs: np.ndarray) -> tuple[np.ndarray, TakenBack]:
    """The answer of a function, and what takes a gradient of it to the inputs."""
    out, back = torch.func.vjp(function, *(torch.from_numpy(one) for one in inputs))
    return out.numpy(), lambda d: [one.numpy() for one in back(torch.from_numpy(d))]


class PlainLearner:
    """A network of layers: ("linear", z of x and weight), ("relu", any), ("pool", y of x); by default a perceptron.

    What goes from layer to layer is flat, in torch's order.
    """

    def __init__(
        self,
        controllers: np.ndarray,
        weights: list[np.ndarray],
        lr: float,
        eps: float = 1e-8,
        layers: Sequence[tuple[str, Function]] = (),
    ) -> None:
        dense = ("linear", lambda x, weight: weight @ x), ("relu", relu)
        self.layers = layers or (dense * (len(weights) // 2))[:-1]
        numbers = controllers.astype(np.float64)
        self.nets = {(s.layer, s.net): tensors(numbers, s.layer, s.net) for s in SLICES}
        self.weights = [w.astype(np.float64) for w in weights]
        self.lr, self.eps, self.t = lr, eps, 0
        self.m, self.v = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.h, self.c = ([np.zeros((*w.shape, 8)) for w in self.weights] for _ in range(2))

    def features(self, layer: str, vectors: list[np.ndarray]) -> np.ndarray:
        net = self.nets[layer, "statistics"]
        x = np.concatenate([statistics(vector) for vector in vectors])
        hidden = relu(dense(net, "first", x))
        hidden = relu(dense(net, "second", np.concatenate([hidden, x])))
        return relu(dense(net, "third", hidden))

    def correction(self, layer: str, signals: list[float], features: np.ndarray) -> np.ndarray:
        net = self.nets[layer, "gradient"]
        x = np.concatenate([signals, features])
        hidden = relu(dense(net, "first", x))
        hidden = relu(dense(net, "second", np.concatenate([hidden, x])))
        return dense(net, "third", hidden)

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        self.gradients(x, y)
        self.t += 1
        for i, weight in enumerate(self.weights):
            for at in np.ndindex(weight.shape):
                self.update(i, at)
        return self.loss

    def gradients(self, x: np.ndarray, y: np.ndarray) -> None:
        self.grad1, self.grad2 = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.loss = 0.0
        for sample, label in zip(x.astype(np.float64), y, strict=True):
            self.add_sample(sample, label, len(x))

    def add_sample(self, x: np.ndarray, label: int, batch: int) -> None:
        back: list[Back] = []
        x, at = x.flatten(), 0
        for kind, function in self.layers:
            if kind == "relu":
                x = relu(x)
                back.append(partial(self.relu_layer, x))
            elif kind == "pool":
                x, taken_back = applied(function, x)
                back.append(partial(self.pool_layer, taken_back))
            else:
                inputs = x
                products, taken_back = applied(function, x, self.weights[at])
                x = products + self.biases(at + 1, len(products))
                back.append(partial(self.linear_layer, at, inputs, products, taken_back))
                back.append(partial(self.bias_layer, at + 1, products, x))
                at += 2
        d1, d2 = self.loss_layer(x, label, batch)
        for layer in reversed(back):
            d1, d2 = layer(d1, d2)

    def biases(self, index: int, signals: int) -> np.ndarray:
        """That of each signal."""
        bias = self.weights[index]
        return bias.repeat(signals // len(bias))

    def loss_layer(self, logits: np.ndarray, label: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        largest = logits.max()
        exp = np.exp(logits - largest)
        total = exp.sum()
        softmax = exp / total
        onehot = np.eye(len(logits))[label]
        d1 = softmax - onehot
        self.loss -= np.log(softmax[label]) / batch
        features = self.features("loss", [logits, exp, softmax, softmax, d1])
        d2 = d1.copy()
        for i in range(len(logits)):
            signals = [logits[i], largest, exp[i], total, softmax[i], softmax[i], onehot[i], d1[i]]
            d2[i] += self.correction("loss", signals, features)[0]
        return d1 / batch, d2 / batch

    def relu_layer(self, output: np.ndarray, d1: np.ndarray, d2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d1_in = np.where(output > 0, d1, 0)
        d2_in = d1_in.copy()
        features = self.features("relu", [output, output, d1_in])
        for i in range(len(output)):
            d2_in[i] += self.correction("relu", [output[i], output[i], d1_in[i], d2[i]], features)[0]
        return d1_in, d2_in

    def bias_layer(
        self, index: int, x: np.ndarray, output: np.ndarray, d1: np.ndarray, d2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        bias, d2_in = self.biases(index, len(x)), d1.copy()
        places = len(x) // len(self.weights[index])
        features = self.features("bias", [x, bias, output, d1])
        for i in range(len(x)):
            of_bias, of_input = self.correction("bias", [x[i], bias[i], output[i], d1[i], d2[i]], features)
            self.grad1[index][i // places] += d1[i]
            self.grad2[index][i // places] += of_bias
            d2_in[i] += of_input
        return d1, d2_in

    def linear_layer(
        self, index: int, x: np.ndarray, output: np.ndarray, taken_back: TakenBack, d1: np.ndarray, d2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        d1_in, grad1 = taken_back(d1)
        features = self.features("linear", [x, output, d1_in])
        of_weight, of_input = d1.copy(), d1.copy()
        for i in range(len(output)):
            change = self.correction("linear", [output[i], d1[i], d2[i]], features)
            of_weight[i] += change[0]
            of_input[i] += change[1]
        self.grad1[index] += grad1
        self.grad2[index] += taken_back(of_weight)[1]
        return d1_in, taken_back(of_input)[0]

    def pool_layer(self, taken_back: TakenBack, d1: np.ndarray, d2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return taken_back(d1)[0], taken_back(d2)[0]

    def update(self, index: int, at: tuple[int, ...]) -> None:
        weight, g1, g2 = (one[index] for one in (self.weights, self.grad1, self.grad2))
        m, v, h, c = (one[index] for one in (self.m, self.v, self.h, self.c))
        m[at] = 0.9 * m[at] + 0.1 * g1[at]
        v[at] = 0.999 * v[at] + 0.001 * g1[at] ** 2
        step = self.lr * m[at] / (1 - 0.9**self.t) / (np.sqrt(v[at] / (1 - 0.999**self.t)) + self.eps)
        lstm, head = (self.nets["optimizer", net] for net in ("lstm", "head"))
        seen = np.array([weight[at], g1[at], step, g2[at]])
        gates = lstm["weight_ih"] @ seen + lstm["bias_ih"] + lstm["weight_hh"] @ h[at] + lstm["bias_hh"]
        i, f, o = (expit(gates[8 * k : 8 * k + 8]) for k in (0, 1, 3))
        c[at] = f * c[at] + i * np.tanh(gates[16:24])
        h[at] = o * np.tanh(c[at])
        out = dense(head, "second", relu(dense(head, "first", relu(h[at]))))
        weight[at] -= step + out[0]
