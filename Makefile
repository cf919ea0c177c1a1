# For hands that are used to make: each target is ./run's command of the same name.

.PHONY: serve test endurance check format bench setup clean
.DEFAULT_GOAL := serve

serve test endurance check format bench setup clean:
	@exec ./run $@ $(ARGS)
