"""The stages of dvc.yaml as a pipeline on Kubernetes."""
