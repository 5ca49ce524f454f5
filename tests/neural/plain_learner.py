"""The reference: EvoGrad's training step, one individual, one layer, one sample and one signal at a time."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from symevo.neural.layout import tensors


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


class PlainLearner:
    def __init__(self, controllers: np.ndarray, weights: list[np.ndarray], lr: float, eps: float = 1e-8) -> None:
        self.controllers = controllers.astype(np.float64)
        self.weights = [w.astype(np.float64) for w in weights]
        self.lr, self.eps, self.t = lr, eps, 0
        self.m, self.v = ([np.zeros_like(w) for w in self.weights] for _ in range(2))
        self.h, self.c = ([np.zeros((*w.shape, 8)) for w in self.weights] for _ in range(2))

    def features(self, layer: str, vectors: list[np.ndarray]) -> np.ndarray:
        net = tensors(self.controllers, layer, "statistics")
        x = np.concatenate([statistics(vector) for vector in vectors])
        hidden = relu(dense(net, "first", x))
        hidden = relu(dense(net, "second", np.concatenate([hidden, x])))
        return relu(dense(net, "third", hidden))

    def correction(self, layer: str, signals: list[float], features: np.ndarray) -> np.ndarray:
        net = tensors(self.controllers, layer, "gradient")
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
        layers = list(zip(self.weights[::2], self.weights[1::2], strict=True))
        inputs, products, sums = [], [], []
        for index, (weight, bias) in enumerate(layers):
            inputs.append(x)
            products.append(weight @ x)
            sums.append(products[-1] + bias)
            x = relu(sums[-1]) if index < len(layers) - 1 else sums[-1]
        d1, d2 = self.loss_layer(x, label, batch)
        for index in reversed(range(len(layers))):
            if index < len(layers) - 1:
                d1, d2 = self.relu_layer(inputs[index + 1], d1, d2)
            d1, d2 = self.bias_layer(2 * index + 1, products[index], sums[index], d1, d2)
            d1, d2 = self.linear_layer(2 * index, inputs[index], products[index], d1, d2)

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
        bias, d2_in = self.weights[index], d1.copy()
        features = self.features("bias", [x, bias, output, d1])
        for i in range(len(x)):
            of_bias, of_input = self.correction("bias", [x[i], bias[i], output[i], d1[i], d2[i]], features)
            self.grad1[index][i] += d1[i]
            self.grad2[index][i] += of_bias
            d2_in[i] += of_input
        return d1, d2_in

    def linear_layer(
        self, index: int, x: np.ndarray, output: np.ndarray, d1: np.ndarray, d2: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        weight = self.weights[index]
        d1_in = weight.T @ d1
        features = self.features("linear", [x, output, d1_in])
        of_weight, of_input = d1.copy(), d1.copy()
        for i in range(len(output)):
            change = self.correction("linear", [output[i], d1[i], d2[i]], features)
            of_weight[i] += change[0]
            of_input[i] += change[1]
        self.grad1[index] += np.outer(d1, x)
        self.grad2[index] += np.outer(of_weight, x)
        return d1_in, weight.T @ of_input

    def update(self, index: int, at: tuple[int, ...]) -> None:
        weight, g1, g2 = (one[index] for one in (self.weights, self.grad1, self.grad2))
        m, v, h, c = (one[index] for one in (self.m, self.v, self.h, self.c))
        m[at] = 0.9 * m[at] + 0.1 * g1[at]
        v[at] = 0.999 * v[at] + 0.001 * g1[at] ** 2
        step = self.lr * m[at] / (1 - 0.9**self.t) / (np.sqrt(v[at] / (1 - 0.999**self.t)) + self.eps)
        lstm, head = (tensors(self.controllers, "optimizer", net) for net in ("lstm", "head"))
        seen = np.array([weight[at], g1[at], step, g2[at]])
        gates = lstm["weight_ih"] @ seen + lstm["bias_ih"] + lstm["weight_hh"] @ h[at] + lstm["bias_hh"]
        i, f, o = (expit(gates[8 * k : 8 * k + 8]) for k in (0, 1, 3))
        c[at] = f * c[at] + i * np.tanh(gates[16:24])
        h[at] = o * np.tanh(c[at])
        out = dense(head, "second", relu(dense(head, "first", relu(h[at]))))
        weight[at] -= step + out[0]
