"""Networks that train networks: small evolved controllers that watch the signals of one layer at a time.

An individual is 3,375 numbers (:mod:`symevo.evograd.layout`). They are the weights of small nets that turn the signals
of a network in training into a second gradient (:mod:`symevo.evograd.learner`), and of an LSTM that turns both
gradients and Adam's step into an update of each weight (:mod:`symevo.evograd.lstm`).
"""
