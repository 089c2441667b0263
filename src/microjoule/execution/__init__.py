"""Running a network on data: batches, visits, evaluation."""
