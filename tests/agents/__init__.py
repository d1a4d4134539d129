"""Tests of the agents, and the stage they run on."""
