"""Which weights transfer best: `botzoo transfer`, the experiment of section 6 of the paper.

A ladder whose rungs are weights is fine-tuned with every seed, by the same functions as any ablation and as any run of
botzoo-finetune. Imports both packages; nothing but the command line of botzoo calls it, by its name.
"""
