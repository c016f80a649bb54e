"""Families of open-weight models: how each is recognised, how it writes tool calls, and how it reasons.

No server reports what a model writes into its text, so it is known from the chat template, the architecture or the
name. To add a family, add its line to `FAMILIES`; its `tool_format` is one of those in `_tools/formats`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

Tags = tuple[str, str]

THINK: Tags = ("<think>", "</think>")
"""The tags that most families put around their reasoning."""


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of one family.

    Attributes:
        name: What it is called; its own among all families.
        tool_format: The name of the format in which it writes calls.
        names: Parts of its models' names, separated by blanks: in lower case, without what separates words, and with
            a `*` for anything between. Each counts at the borders of words: `hy3` stands in `Hy3-preview`, but neither
            in `hy30` nor in `physhy3`.
        templates: Sets of markers, each separated by blanks. A chat template with all markers of a set is its own.
        architectures: GGUF's `general.architecture` and Hugging Face's `model_type`, separated by blanks. What several
            families share, such as `llama`, `qwen2` or `deepseek2`, tells nothing and is left out.
        reasoning: The tags around its reasoning; None if it does not reason in its text, as far as is known.
        opened: Whether its chat template writes the opening tag, so that answers begin within the reasoning.
        asked: Whether it reasons only if its chat template is asked for it.
        framed: Whether what a user is to see stands between tags as well, which the parser of its format leaves out,
            and which is needed for that even without tools.
        more_reasoning: Other tags in which it may reason.
        answers: Tags that may stand around the text after its reasoning.
        source: Where its calls are described: a model on Hugging Face, or an address.
    """

    name: str
    tool_format: str
    names: str = ""
    templates: tuple[str, ...] = ()
    architectures: str = ""
    reasoning: Tags | None = None
    opened: bool = False
    framed: bool = False
    source: str = ""
    asked: bool = False
    more_reasoning: tuple[Tags, ...] = ()
    answers: tuple[Tags, ...] = ()


UNKNOWN = Family("unknown", "default", reasoning=THINK)
"""What stands for a model of no known family: it is told and read with patience."""

# Where two lines fit, the upper one counts, so the more special stands above: a Hermes is trained from a Llama, a
# distilled DeepSeek from a Qwen, "qwen3coder" holds "qwen", and most templates with `<tool_call>` are not Hermes'.
# fmt: off
FAMILIES: tuple[Family, ...] = (
    Family("deepseek-v4", "deepseek_v4", "deepseekv4 deepseekchatv4", ("｜DSML｜ tool_calls>",),
           "deepseek_v4 deepseek4", THINK, opened=True, source="deepseek-ai/DeepSeek-V4-Flash"),
    Family("deepseek-v3.2", "deepseek_v3_2", "deepseekv3.2 deepseekchatv3.2", ("｜DSML｜",), "deepseek_v32 deepseek32",
           THINK, opened=True, source="deepseek-ai/DeepSeek-V3.2"),
    Family("deepseek-r1", "deepseek_v3", "deepseekr1distill r1distillqwen r1distillllama deepseekr1",
           ("<｜tool▁calls▁begin｜> ```json <think>",),
           reasoning=THINK, opened=True, source="deepseek-ai/DeepSeek-R1"),
    Family("deepseek-v3.1", "deepseek_v3_1", "deepseekv3.1 deepseekchatv3.1", ("<｜tool▁calls▁begin｜> thinking",),
           reasoning=THINK, opened=True, asked=True, source="deepseek-ai/DeepSeek-V3.1"),
    Family("deepseek-v3", "deepseek_v3", "deepseekv3 deepseekchatv3", ("<｜tool▁calls▁begin｜>",), "deepseek_v3",
           source="deepseek-ai/DeepSeek-V3-0324"),
    Family("kimi-k3", "kimi_k3", "kimik3", ("<|open|>",), "kimi_k3",
           ("<|open|>think<|sep|>", "<|close|>think<|sep|>"), opened=True, framed=True,
           source="moonshotai/Kimi-K3"),
    Family("kimi-k2-thinking", "kimi_k2", "kimik2.5 kimik2.6 kimik2*thinking",
           ("<|tool_calls_section_begin|> <think>",),
           "kimi_k25", THINK, opened=True, source="moonshotai/Kimi-K2.5"),
    Family("kimi-k2", "kimi_k2", "kimik2 kimilinear", ("<|tool_calls_section_begin|>",),
           "kimi_k2 kimi_linear kimi-linear", THINK, source="moonshotai/Kimi-K2-Instruct"),
    Family("kimi-vl", "default", "kimivl", ("◁think▷",), "kimi_vl",
           ("◁think▷", "◁/think▷"), source="moonshotai/Kimi-VL-A3B-Thinking-2506"),
    Family("longcat", "longcat", "longcat", ("<longcat_tool_call>",), "longcat_flash",
           ("<longcat_think>", "</longcat_think>"),
           source="meituan-longcat/LongCat-Flash-Chat"),
    Family("hunyuan-3", "hunyuan_3", "hy3 hyv3 hunyuan3", ("<tool_sep <arg_key",), "hy_v3",
           THINK, source="tencent/Hy3-preview"),
    Family("glm-4.7", "glm_4_7", "glm4.7 glm5", reasoning=THINK, opened=True,
           architectures="glm4_moe_lite glm_moe_dsa glm-dsa", source="zai-org/GLM-4.7"),
    Family("glm-4.5", "glm", "glm4.5 glm4.6", ("<arg_key>",), "glm4_moe glm4moe glm4v_moe",
           THINK, source="zai-org/GLM-4.6"),
    Family("poolside", "glm", "poolside laguna", source="poolside/Laguna-XS.2"),
    Family("ling-3", "glm", "ling3", reasoning=THINK, opened=True, source="inclusionAI/Ling-3.0-flash"),
    Family("spark-2.5", "glm", "spark2.5", reasoning=THINK, opened=True, source="iflytek/Spark2.5"),
    Family("k2-horizon", "k2_horizon", "k2horizon k2v3", ("<ifm|tool_call>",),
           reasoning=("<ifm|think>", "</ifm|think>"), source="LLM360/K2-V3"),
    Family("solar-open-2", "solar_open2", "solaropen2", ("<|tool_call:start|>",), source="upstage/Solar-Open2-250B"),
    Family("dots", "dots", "dots.llm dots2", ("<dots_function_call>",), reasoning=THINK,
           source="rednote-hilab/dots.llm1.inst"),
    Family("muse", "muse", "museglimmer", ("<atem:invoke",),
           reasoning=("to=self<|message|>", "<|eom|>"),
           more_reasoning=(("<|start|>assistant to=self<|message|>", "<|eom|>"),),
           answers=(("to=user<|message|>", "<|eot|>"), ("<|start|>assistant to=user<|message|>", "<|eot|>")),
           source="facebook/muse-glimmer"),
    Family("inkling", "inkling", "inkling", ("<|content_invoke_tool_json|>",), framed=True,
           source="thinkingmachines/Inkling"),
    Family("gigachat-3.5", "gigachat3_5", "gigachat3.5", ("｜GCML｜",), source="ai-sage/GigaChat3.5"),
    Family("minimax-m3", "minimax_m3", "minimaxm3", ("]<]minimax[>[",), "minimax_m3 minimax-m3",
           ("<mm:think>", "</mm:think>"),
           # where its thinking mode is adaptive and it does not think, it writes the closer alone
           answers=(("</mm:think>", "[e~["),), source="MiniMaxAI/MiniMax-M3"),
    Family("minimax-m2", "minimax_m2", "minimaxm2", ("<minimax:tool_call>",), "minimax_m2 minimax-m2",
           THINK, opened=True, source="MiniMaxAI/MiniMax-M2"),
    Family("minimax-m1", "minimax_m1", "minimaxm1", architectures="minimax_m1", reasoning=THINK, opened=True,
           source="MiniMaxAI/MiniMax-M1-80k"),
    Family("gpt-oss", "harmony", "gptoss", ("<|channel|>",), "gpt_oss gpt-oss",
           ("<|channel|>analysis<|message|>", "<|end|>"), framed=True,
           more_reasoning=(("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),),
           answers=(("<|channel|>final<|message|>", "<|return|>"),
                    ("<|start|>assistant<|channel|>final<|message|>", "<|return|>")),
           source="openai/gpt-oss-20b"),
    Family("functiongemma", "functiongemma", "functiongemma", ("<start_function_call>",),
           source="google/functiongemma-270m-it"),
    Family("gemma-4", "gemma4", "gemma4", ("<|tool_call>",), "gemma4 gemma4_text",
           ("<|channel>thought", "<channel|>"), source="google/gemma-4-31B-it"),
    Family("gemma-3", "gemma", "gemma3 gemma3n medgemma", architectures="gemma3 gemma3_text gemma3n",
           source="google/gemma-3-4b-it"),
    Family("seed-oss", "seed_oss", "seedoss", ("<seed:tool_call>",), "seed_oss",
           ("<seed:think>", "</seed:think>"), source="ByteDance-Seed/Seed-OSS-36B-Instruct"),
    Family("step-3.5", "qwen_coder", "step3.5 step3.7", architectures="step3p5 step35", reasoning=THINK, opened=True,
           source="stepfun-ai/Step-3.5-Flash"),
    Family("step-3", "step3", "step3", ("<steptml:invoke",), "step3_text step3_vl", THINK, opened=True,
           source="stepfun-ai/step3"),
    Family("minicpm-5", "minicpm5", "minicpm5", ("<function </param>",), "minicpm5", THINK, opened=True,
           source="openbmb/MiniCPM5"),
    Family("qwen-coder", "qwen_coder", "qwen3coder",
           source="Qwen/Qwen3-Coder-30B-A3B-Instruct"),
    Family("qwen-3.5", "qwen_coder", "qwen3.5 qwen3.6 qwen3.7", ("<tool_call> <function= <think>",),
           "qwen35 qwen35moe qwen3_5 qwen3_5_moe", THINK, opened=True,
           source="Qwen/Qwen3.5-35B-A3B"),
    Family("qwen-coder by template", "qwen_coder", templates=("<tool_call> <function=",),
           source="Qwen/Qwen3-Coder-30B-A3B-Instruct"),
    Family("mimo-v2", "qwen_coder", "mimov2", architectures="mimo_v2_flash mimo2", reasoning=THINK,
           source="XiaomiMiMo/MiMo-V2-Flash"),
    Family("nemotron-3", "qwen_coder", "nemotron3 nemotroncascade2", architectures="nemotron_h_moe", reasoning=THINK,
           opened=True, source="nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"),
    Family("nemotron-nano-2", "nemotron", "nemotronnano9bv2 nemotronnano12bv2", ("<TOOLCALL> <SPECIAL_",), "nemotron_h",
           THINK, opened=True, source="nvidia/NVIDIA-Nemotron-Nano-9B-v2"),
    Family("nemotron", "nemotron", "nemotronnano nemotronsuper nemotronultra llama3.3nemotron", ("<TOOLCALL>",), "",
           THINK, source="nvidia/Llama-3_3-Nemotron-Super-49B-v1_5"),
    Family("granite-20b-fc", "granite_20b_fc", "granite20bfunctioncalling", ("<function_call>",),
           source="ibm-granite/granite-20b-functioncalling"),
    Family("granite-3", "granite", "granite3", ("<|tool_call|> <|start_of_role|>",), reasoning=THINK,
           asked=True, answers=(("<response>", "</response>"),),
           more_reasoning=(("Here is my thought process:", "Here is my response:"),
                           ("Here's my thought process:", "Here's my response:")),
           source="ibm-granite/granite-3.3-8b-instruct"),
    Family("phi-4-mini", "phi4_mini", "phi4mini", ("<|tool_call|>",), source="microsoft/Phi-4-mini-instruct"),
    Family("command-a-plus", "command", "commandaplus", architectures="cohere2moe cohere2_moe",
           reasoning=("<|START_THINKING|>", "<|END_THINKING|>"), opened=True, framed=True,
           answers=(("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|START_TEXT|>", "<|END_TEXT|>")),
           source="CohereLabs/command-a-plus"),
    Family("command-a", "command", "commandr7b commanda c4aicommanda", ("<|START_ACTION|>",), "cohere2",
           ("<|START_THINKING|>", "<|END_THINKING|>"), framed=True,
           answers=(("<|START_RESPONSE|>", "<|END_RESPONSE|>"), ("<|START_TEXT|>", "<|END_TEXT|>")),
           source="CohereLabs/c4ai-command-r7b-12-2024"),
    Family("command-r", "command_r", "commandr", architectures="cohere command-r",
           source="CohereLabs/c4ai-command-r-plus-08-2024"),
    Family("hunyuan-a13b", "hunyuan_a13b", "hunyuana13b", ("<tool_calls> enable_thinking",),
           "hunyuan_v1_moe hunyuan-moe", THINK, answers=(("<answer>", "</answer>"),),
           source="tencent/Hunyuan-A13B-Instruct"),
    Family("apriel", "apriel", "apriel", ("<tool_calls> <available_tools>",),
           reasoning=("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"), opened=True,
           answers=(("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),),
           source="ServiceNow-AI/Apriel-1.5-15b-Thinker"),
    Family("jamba", "jamba", "jamba", ("<tool_calls>",), "jamba", source="ai21labs/AI21-Jamba-1.5-Mini"),
    Family("apertus", "apertus", "apertus", ("<|tools_prefix|>",), "apertus",
           ("<|inner_prefix|>", "<|inner_suffix|>"),
           source="swiss-ai/Apertus-8B-Instruct-2509"),
    Family("internlm", "internlm", "internlm2.5 internlm3 interns1", ("<|action_start|>",), "internlm2 internlm3",
           THINK, source="internlm/internlm2_5-7b-chat"),
    Family("gigachat-3", "gigachat3", "gigachat3", ("call<|role_sep|>",), source="ai-sage/GigaChat3-10B-A1.8B"),
    Family("hyperclova-x", "hyperclovax", "hyperclovax", ("tool/function_call",), "hyperclovax",
           # a turn of thoughts comes before the turn of the answer; `/think` ends the line of the first one's role
           ("/think", "<|im_end|>"), answers=(("<|im_start|>assistant", "<|im_end|>"),),
           source="naver-hyperclovax/HyperCLOVAX-SEED-Think-14B"),
    Family("olmo-3-think", "olmo3", "olmo3*think", reasoning=THINK, opened=True, source="allenai/Olmo-3-32B-Think"),
    Family("olmo-3", "olmo3", "olmo3", ("<function_calls>",), "olmo3", THINK, source="allenai/Olmo-3-7B-Instruct"),
    Family("functionary", "functionary", "functionary", (">>>all",), framed=True,
           source="meetkai/functionary-small-v3.2"),
    Family("firefunction", "firefunction", "firefunction", ("functools[",),
           source="fireworks-ai/llama-3-firefunction-v2"),
    Family("mirothinker", "mcp", "mirothinker", ("<use_mcp_tool>",), reasoning=THINK,
           source="miromind-ai/MiroThinker-v1.0-30B"),
    Family("xlam", "xlam", "xlam", source="Salesforce/Llama-xLAM-2-8b-fc-r"),
    Family("ernie-4.5-thinking", "ernie", "ernie4.5*thinking", reasoning=THINK, opened=True,
           answers=(("<response>", "</response>"),), source="baidu/ERNIE-4.5-21B-A3B-Thinking"),
    Family("ernie-4.5", "ernie", "ernie4.5 ernie5", architectures="ernie4_5 ernie4_5_moe ernie4_5-moe", reasoning=THINK,
           answers=(("<response>", "</response>"),),
           source="baidu/ERNIE-4.5-300B-A47B-PT"),
    Family("qwen-3-thinking", "hermes", "thinking2507 qwq qwen3*thinking", reasoning=THINK, opened=True,
           source="Qwen/Qwen3-30B-A3B-Thinking-2507"),
    Family("qwen-3", "hermes", "qwen3", ("<tool_call> enable_thinking",),
           "qwen3 qwen3moe qwen3_moe qwen3vl qwen3vlmoe qwen3_vl", THINK,
           source="Qwen/Qwen3-8B"),
    Family("smollm3", "hermes", "smollm3", architectures="smollm3", reasoning=THINK,
           source="HuggingFaceTB/SmolLM3-3B"),
    Family("exaone-deep", "hermes", "exaonedeep", ("<thought>",),
           reasoning=("<thought>", "</thought>"), opened=True, source="LGAI-EXAONE/EXAONE-Deep-7.8B"),
    Family("exaone-4", "hermes", "exaone4 kexaone", architectures="exaone4 exaone-moe exaone_moe", reasoning=THINK,
           opened=True, source="LGAI-EXAONE/EXAONE-4.0-32B"),
    Family("reka-edge", "hermes", "rekaedge", reasoning=THINK, opened=True, source="RekaAI/reka-edge-2603"),
    Family("mimo", "hermes", "mimo7b mimovl", reasoning=THINK, source="XiaomiMiMo/MiMo-7B-RL"),
    Family("hermes", "hermes", "hermes openhermes deephermes qwen codeqwen qwenlong smollm exaone granite4 trinity "
           "llama3groq", ("<tool_call>",), "granitehybrid granitemoehybrid afmoe", THINK,
           source="https://github.com/NousResearch/Hermes-Function-Calling"),
    Family("ling", "hermes", "ling1t ling2.0 ling2.5 lingmini lingflash linglite ring1t ring2.0 ring2.5 ringmini "
           "ringflash ringlite",
           architectures="bailing_moe bailingmoe bailing_moe_v2 bailingmoe2", reasoning=THINK,
           source="inclusionAI/Ling-mini-2.0"),
    Family("llama-4", "pythonic", "llama4 toolace watttool", ("<|python_start|>",), "llama4",
           source="https://www.llama.com/docs/model-cards-and-prompt-formats/llama4/"),
    Family("lfm2", "pythonic", "lfm2", ("<|tool_call_start|>",), "lfm2 lfm2moe lfm2_moe", THINK,
           source="LiquidAI/LFM2-1.2B"),
    Family("llama-3", "llama3", "llama3", ("<|python_tag|>",),
           source="https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/"),
    Family("magistral", "mistral", "magistral ministral3 mistralsmall4", ("[TOOL_CALLS] [THINK]",), "mistral4",
           ("[THINK]", "[/THINK]"),
           source="https://github.com/mistralai/mistral-common"),
    Family("mistral", "mistral", "mistral mistralai mixtral ministral voxtral mathstral devstral codestral pixtral",
           ("[TOOL_CALLS]",), "mistral mixtral mistral3 pixtral", source="https://docs.mistral.ai/guides/tokenization/"),
    Family("gemma without tools", "gemma", templates=("<start_of_turn>",), source="google/gemma-3-4b-it"),
    # what marks Llama 3's turns says nothing of calls: a template of any family above may hold it as well
    Family("llama-3 without tools", "llama3", templates=("<|start_header_id|>",),
           source="https://www.llama.com/docs/model-cards-and-prompt-formats/meta-llama-3/"),
)
# fmt: on


def family_for(*hints: str) -> Family:
    """The family of a model, of which its chat template, architecture and name are known, or some of them.

    A chat template, which is recognised by its braces, says more than an architecture, and that more than a name.
    `UNKNOWN` where nothing fits.
    """
    templates = [hint for hint in hints if _is_template(hint)]
    words = [hint for hint in hints if not _is_template(hint)]
    for template in templates:
        for family in FAMILIES:
            if any(all(marker in template for marker in markers.split()) for markers in family.templates):
                return family
    for word in words:
        for family in FAMILIES:
            if word in family.architectures.split():
                return family
    return next(filter(None, map(_family_of_name, map(plain_name, words))), UNKNOWN)


def plain_name(name: str) -> str:
    """A model's name in lower case, with `-` between its words, and with the dot that is a `p` in `v3p1`, or a `_`."""
    return re.sub(r"[-_ ]+", "-", re.sub(r"(?<=\d)[p_](?=\d)", ".", name.casefold()))


def _family_of_name(name: str) -> Family | None:
    """The family whose line comes first of those that `name` holds; of a distilled model, the family of its base.

    A distilled model bears the names of two families. It writes calls as its base does, since its template is its
    base's: that family comes after "distil", as in `Kimi-K2-distill-Qwen3-8B`, or else first, as in
    `Qwen3-8B-DeepSeek-v3.2-Distill`. `DeepSeek-R1-Distill-Qwen-7B` is known as a whole: it got its teacher's template.
    """
    found = _families_in(name)
    last = name.rpartition("/")[2]
    _, sign, base = last.partition("distil")
    if sign and not any(sign in match[0] for match, _ in found):
        found = _families_in(base) or sorted(_families_in(last), key=lambda pair: pair[0].start()) or found
    return found[0][1] if found else None


def _families_in(name: str) -> list[tuple[re.Match[str], Family]]:
    return [(match, family) for search, family in _searches() if (match := search(name))]


@cache
def _searches() -> list[tuple[Callable[[str], re.Match[str] | None], Family]]:
    """For each family with names, what finds the first of them at the borders of words.

    A number may have letters after it, as in `gemma3n`, but `hunyuan3d` is about three dimensions.
    """

    def pattern(part: str) -> str:
        spelled = "-?".join("[^/]*" if char == "*" else re.escape(char) for char in part)
        return spelled + (r"(?!\d|d\b)" if part[-1].isdigit() else "(?![a-z])")

    return [
        (re.compile(rf"(?<![a-z0-9])(?:{'|'.join(map(pattern, family.names.split()))})").search, family)
        for family in FAMILIES
        if family.names
    ]


def _is_template(hint: str) -> bool:
    return "{%" in hint or "{{" in hint
