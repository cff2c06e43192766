"""What commands and notebooks do, each once: `kubetune.cli` prints it, `import kubetune as kt` shows it."""
