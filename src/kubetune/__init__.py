"""Kubernetes-native fine-tuning of Hugging Face text models. Import nothing here: `kubetune --help` stays fast."""
