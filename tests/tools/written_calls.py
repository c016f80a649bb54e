"""Calls of `get_weather` as models of each family write them, letter for letter as the sources of the formats show."""

# ruff: noqa: E501 - one that is cut is no longer what a model writes

OSLO = {"city": "Oslo", "days": 3}
"""The arguments of them all."""

WRITTEN: list[tuple[str, str, str]] = [
    (
        "Qwen2.5-7B-Instruct",
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
    ),
    (
        "Qwen3-8B",
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
    ),
    (
        "SmolLM3-3B",
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
    ),
    (
        "granite-4.0-h-small",
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
    ),
    (
        "EXAONE-4.0-32B",
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}</tool_call>',
    ),
    (
        "Ling-mini-2.0",
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
    ),
    (
        "Qwen3-Coder-30B-A3B",
        "qwen_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    ),
    (
        "Qwen3.6-35B-A3B",
        "qwen_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    ),
    (
        "NVIDIA-Nemotron-3-Nano-30B-A3B",
        "qwen_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    ),
    (
        "Step-3.5-Flash",
        "qwen_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    ),
    (
        "MiMo-V2-Flash",
        "qwen_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    ),
    ("Llama-3.3-70B-Instruct", "llama3", '{"name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}'),
    ("Llama-3.1-8B", "llama3", '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}'),
    ("Llama-4-Scout-17B", "pythonic", '[get_weather(city="Oslo", days=3)]'),
    ("ToolACE-8B", "pythonic", '[get_weather(city="Oslo", days=3)]'),
    ("LFM2-1.2B", "pythonic", '<|tool_call_start|>[get_weather(city="Oslo", days=3)]<|tool_call_end|>'),
    (
        "Mistral-7B-Instruct-v0.3",
        "mistral",
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]',
    ),
    ("Devstral-Small-2507", "mistral", '[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo", "days": 3}'),
    (
        "ERNIE-4.5-21B-A3B-Thinking",
        "ernie",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>\n',
    ),
    ("xLAM-2-8b-fc-r", "xlam", '[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]'),
    ("Llama-xLAM-2-8b", "xlam", '[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]'),
    (
        "GLM-4.6",
        "glm",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    (
        "GLM-4.5-Air",
        "glm",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    (
        "GLM-4.7-Flash",
        "glm_4_7",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value><arg_key>days</arg_key><arg_value>3</arg_value></tool_call>",
    ),
    (
        "GLM-5",
        "glm_4_7",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value><arg_key>days</arg_key><arg_value>3</arg_value></tool_call>",
    ),
    (
        "Kimi-K2-Instruct",
        "kimi_k2",
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo", "days": 3}<|tool_call_end|><|tool_calls_section_end|>',
    ),
    (
        "Kimi-K2.5",
        "kimi_k2",
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo", "days": 3}<|tool_call_end|><|tool_calls_section_end|>',
    ),
    (
        "Kimi-K3",
        "kimi_k3",
        '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>argument key="city" type="string"<|sep|>Oslo<|close|>argument<|sep|><|open|>argument key="days" type="number"<|sep|>3<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
    ),
    (
        "DeepSeek-V3-0324",
        "deepseek_v3",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Oslo", "days": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ),
    (
        "DeepSeek-R1",
        "deepseek_v3",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Oslo", "days": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ),
    (
        "DeepSeek-V3.1",
        "deepseek_v3_1",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo", "days": 3}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ),
    (
        "DeepSeek-V3.2",
        "deepseek_v3_2",
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    ),
    (
        "DeepSeek-V4-Flash",
        "deepseek_v4",
        '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>',
    ),
    (
        "DeepSeek-V4.1",
        "deepseek_v4",
        '<｜DSML｜ calls><｜DSML｜ invoke name="get_weather"><｜DSML｜ parameter name="city" string="true">Oslo</｜DSML｜ parameter><｜DSML｜ parameter name="days" string="false">3</｜DSML｜ parameter></｜DSML｜ invoke></｜DSML｜ calls>',
    ),
    (
        "MiniMax-M2",
        "minimax_m2",
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n</minimax:tool_call>',
    ),
    (
        "MiniMax-M2.5",
        "minimax_m2",
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n</minimax:tool_call>',
    ),
    (
        "MiniMax-M3",
        "minimax_m3",
        ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="get_weather">]<]minimax[>[<city>Oslo]<]minimax[>[</city>]<]minimax[>[<days>3]<]minimax[>[</days>]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>',
    ),
    (
        "gpt-oss-20b",
        "harmony",
        '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo", "days": 3}<|call|>',
    ),
    (
        "gpt-oss-120b",
        "harmony",
        '<|start|>assistant<|channel|>commentary to=functions.get_weather<|constrain|>json<|message|>{"city": "Oslo", "days": 3}<|call|>',
    ),
    (
        "gpt-oss:20b",
        "harmony",
        '<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Oslo", "days": 3}<|call|>',
    ),
    (
        "gpt-oss:20b",
        "harmony",
        ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Oslo", "days": 3}<|call|>',
    ),
    ("gemma-4-31B-it", "gemma4", '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:3}<tool_call|>'),
    (
        "functiongemma-270m-it",
        "functiongemma",
        "<start_function_call>call:get_weather{city:<escape>Oslo<escape>,days:3}<end_function_call>",
    ),
    (
        "functiongemma-270m-it",
        "functiongemma",
        "<start_function_call>call:get_weather{city:<escape>Oslo<escape>,days:3}",
    ),
    ("gemma-3-4b-it", "gemma", '```tool_code\nget_weather(city="Oslo", days=3)\n```'),
    ("gemma-3-4b-it", "gemma", '```tool_code\nprint(get_weather(city="Oslo", days=3))\n```'),
    ("gemma-3-27b-it", "gemma", '[get_weather(city="Oslo", days=3)]'),
    (
        "granite-3.3-8b-instruct",
        "granite",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]',
    ),
    (
        "granite-3.0-8b-instruct",
        "granite",
        '<tool_call>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]',
    ),
    (
        "granite-20b-functioncalling",
        "granite_20b_fc",
        '<function_call> {"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}',
    ),
    (
        "Phi-4-mini-instruct",
        "phi4_mini",
        'functools[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]',
    ),
    (
        "Phi-4-mini-instruct",
        "phi4_mini",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]<|/tool_call|>',
    ),
    (
        "c4ai-command-r7b-12-2024",
        "command",
        '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}\n]<|END_ACTION|>',
    ),
    (
        "command-a-03-2025",
        "command",
        '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}\n]<|END_ACTION|>',
    ),
    (
        "c4ai-command-r-plus-08-2024",
        "command_r",
        'Action: ```json\n[\n    {\n        "tool_name": "get_weather",\n        "parameters": {"city": "Oslo", "days": 3}\n    }\n]\n```',
    ),
    (
        "c4ai-command-r-v01",
        "command_r",
        'Action:\n```json\n[\n    {\n        "tool_name": "get_weather",\n        "parameters": {"city": "Oslo", "days": 3}\n    }\n]```',
    ),
    (
        "Seed-OSS-36B-Instruct",
        "seed_oss",
        "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Oslo</parameter>\n<parameter=days>3</parameter>\n</function>\n</seed:tool_call>",
    ),
    (
        "Hunyuan-A13B-Instruct",
        "hunyuan_a13b",
        '<tool_calls>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]</tool_calls>',
    ),
    (
        "Hy3-preview",
        "hunyuan_3",
        "<tool_calls>\n<tool_call>get_weather<tool_sep>\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n</tool_calls>",
    ),
    (
        "tencent/Hy3",
        "hunyuan_3",
        "<tool_calls:opensource>\n<tool_call:opensource>get_weather<tool_sep:opensource>\n<arg_key:opensource>city</arg_key:opensource>\n<arg_value:opensource>Oslo</arg_value:opensource>\n<arg_key:opensource>days</arg_key:opensource>\n<arg_value:opensource>3</arg_value:opensource>\n</tool_call:opensource>\n</tool_calls:opensource>",
    ),
    (
        "AI21-Jamba-1.5-Mini",
        "jamba",
        '<tool_calls>[\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n]</tool_calls>',
    ),
    (
        "Apriel-1.5-15b-Thinker",
        "apriel",
        '<tool_calls>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]</tool_calls>',
    ),
    (
        "NVIDIA-Nemotron-Nano-9B-v2",
        "nemotron",
        '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]</TOOLCALL>',
    ),
    (
        "Llama-3_3-Nemotron-Super-49B-v1_5",
        "nemotron",
        '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]</TOOLCALL>',
    ),
    (
        "internlm2_5-7b-chat",
        "internlm",
        '<|action_start|><|plugin|>\n{"name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}<|action_end|>',
    ),
    (
        "Intern-S1",
        "internlm",
        '<|action_start|> <|plugin|>\n{"name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}<|action_end|>',
    ),
    (
        "step3",
        "step3",
        '<｜tool_calls_begin｜>\n<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="get_weather">\n<steptml:parameter name="city">Oslo</steptml:parameter>\n<steptml:parameter name="days">3</steptml:parameter>\n</steptml:invoke><｜tool_call_end｜>\n<｜tool_calls_end｜>',
    ),
    ("Olmo-3-7B-Instruct", "olmo3", "<function_calls>\nget_weather(city='Oslo', days=3)\n</function_calls>"),
    (
        "LongCat-Flash-Chat",
        "longcat",
        '<longcat_tool_call>{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}</longcat_tool_call>',
    ),
    (
        "LongCat-Flash-Chat",
        "longcat",
        "<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Oslo</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n<longcat_arg_value>3</longcat_arg_value>\n</longcat_tool_call>",
    ),
    (
        "Apertus-8B-Instruct-2509",
        "apertus",
        '<|tools_prefix|>[{"get_weather": {"city": "Oslo", "days": 3}}]<|tools_suffix|>',
    ),
    (
        "GigaChat3-10B-A1.8B",
        "gigachat3",
        'function call<|role_sep|>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}',
    ),
    (
        "GigaChat3-10B-A1.8B",
        "gigachat3",
        '<|function_call|>{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}',
    ),
    (
        "GigaChat3.5",
        "gigachat3_5",
        '<｜GCML｜tool_calls>\n<｜GCML｜invoke name="get_weather">\n<｜GCML｜parameter name="city" string="true">Oslo</｜GCML｜parameter>\n<｜GCML｜parameter name="days" string="false">3</｜GCML｜parameter>\n</｜GCML｜invoke>\n</｜GCML｜tool_calls>',
    ),
    ("functionary-small-v3.2", "functionary", '>>>get_weather\n{"city": "Oslo", "days": 3}'),
    (
        "llama-3-firefunction-v2",
        "firefunction",
        ' functools[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]',
    ),
    (
        "MiniCPM5-8B",
        "minicpm5",
        '<function name="get_weather"><param name="city">Oslo</param><param name="days">3</param></function>',
    ),
    (
        "MiroThinker-v1.0-30B",
        "mcp",
        '<use_mcp_tool>\n<server_name>tools</server_name>\n<tool_name>get_weather</tool_name>\n<arguments>\n{"city": "Oslo", "days": 3}\n</arguments>\n</use_mcp_tool>',
    ),
    (
        "Inkling",
        "inkling",
        '<|message_model|>get_weather<|content_invoke_tool_json|>{"name":"get_weather","args":{"city": "Oslo", "days": 3}}<|end_message|>',
    ),
    (
        "HyperCLOVAX-SEED-Think-14B",
        "hyperclovax",
        ' -> tool/function_call\n[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]<|im_end|>',
    ),
    (
        "HyperCLOVAX-SEED-Think-14B",
        "hyperclovax",
        '<|im_end|>\n<|im_start|>assistant -> tool/function_call\n[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]<|im_end|><|stop|>',
    ),
    (
        "Laguna-XS.2",
        "glm",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    (
        "Ling-3.0",
        "glm",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    (
        "Solar-Open2-250B",
        "solar_open2",
        "<|tool_call:start|>get_weather\n<|tool_arg:start|>city<|tool_arg:value|>Oslo<|tool_arg:end|>\n<|tool_arg:start|>days<|tool_arg:value|>3<|tool_arg:end|>\n<|tool_call:end|>",
    ),
    (
        "dots.llm2",
        "dots",
        '<dots_function_call>\n<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n</dots_function_call>',
    ),
    (
        "K2-Horizon",
        "k2_horizon",
        "<ifm|tool_calls>\n<ifm|tool_call>get_weather\n<ifm|arg_key>city</ifm|arg_key>\n<ifm|arg_value>Oslo</ifm|arg_value>\n<ifm|arg_key>days</ifm|arg_key>\n<ifm|arg_value>3</ifm|arg_value>\n</ifm|tool_call>\n</ifm|tool_calls>",
    ),
    (
        "muse-glimmer",
        "muse",
        '<atem:function_calls>\n<atem:invoke name="get_weather">\n<atem:parameter name="city">Oslo</atem:parameter>\n<atem:parameter name="days">3</atem:parameter>\n</atem:invoke>\n</atem:function_calls>',
    ),
    (
        "Spark2.5",
        "glm",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ),
    (
        "Trinity-Mini",
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
    ),
    (
        "MiniMax-M1-80k",
        "minimax_m1",
        '<tool_calls>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_calls>',
    ),
    (
        "DeepSeek-R1-Distill-Qwen-7B",
        "deepseek_v3",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Oslo", "days": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ),
]
"""The name of a model, its format, and what it writes."""
