"""What happens at one site: the learner, a site's part of a run, seeds, artefacts."""
