"""Shows what a model would be asked, without the model."""

from openrlhf.config.evaluation import BenchmarkConfig
from openrlhf.errors import UserError
from openrlhf.evaluation.generation import models
from openrlhf.evaluation.questions.benchmarks import benchmark
from openrlhf.evaluation.questions.few_shot import prompts_of
from openrlhf.evaluation.questions.prompts import CHAT, Prompter
from openrlhf.evaluation.questions.selection import find_sets, select


def show_prompts(config: BenchmarkConfig) -> int:
    """Prints the first prompt of every set; loads a tokenizer only where a chat template is asked for."""
    questions, prompt, seed = config.questions, config.prompt, config.sampling.seed
    tokenizer = None
    if prompt.apply_chat_template or prompt.prompt_type == CHAT:
        if not config.engine.model_name_or_path:
            raise UserError("a chat template comes with a model's tokenizer: give --model_name_or_path")
        tokenizer = models.load_tokenizer(config.engine.model_name_or_path)
    prompter = Prompter(prompt.prompt_type, prompt.apply_chat_template, tokenizer)
    for found in find_sets(questions.names, questions.data_dir, questions.split):
        problems = select(found.problems, found.name, questions, seed)[:1]
        for text in prompts_of(benchmark(found.name), problems, prompter, prompt, questions.data_dir, seed):
            print(f"----- {found.name}, row {problems[0].index}, {prompt.prompt_type} -----\n{text}")
    return 0
