"""Arm Vela on the same networks, run here: conversion to TFLite, its runs, and the comparison.

``qdq`` reads an int8 ONNX model, ``operators`` and ``windows`` turn its nodes into those of a
``network``, ``flatbuffer`` writes that, ``estimate`` runs Vela on the file, ``__main__`` compares.
"""
