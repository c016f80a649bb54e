"""Mutants of group K."""

from collections.abc import Iterator
from typing import Any

from langchain_core.runnables import RunnableLambda
from tests.check.bench import Reference, mutant


@mutant("K01", "does not let itself be configured")
class Unconfigurable(Reference):
    def configurable_fields(self, **kwargs: Any) -> Any:
        return self


@mutant("K01", "keeps what it was once configured with")
class ConfiguredForGood(Reference):
    def configurable_fields(self, **kwargs: Any) -> Any:
        def ask(given: Any, config: Any) -> Any:
            for value in config.get("configurable", {}).values():
                self.__dict__[next(iter(kwargs))] = value
            return self.invoke(given, config)

        return RunnableLambda(ask)


@mutant("K02", "does nothing with its config")
class Unconfigured(Reference):
    def with_config(self, *args: Any, **kwargs: Any) -> Any:
        return self


@mutant("K02", "cannot be followed by a fallback")
class NoFallback(Reference):
    def with_fallbacks(self, *args: Any, **kwargs: Any) -> Any:
        return self


@mutant("K02", "is not asked again")
class NoRetry(Reference):
    def with_retry(self, **kwargs: Any) -> Any:
        return self


@mutant("K02", "cannot be exchanged by config")
class NoAlternative(Reference):
    def configurable_alternatives(self, *args: Any, **kwargs: Any) -> Any:
        return self


@mutant("K02", "gives its answer to a chain in one piece")
class BlockInChains(Reference):
    def transform(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield self.invoke(next(input), config, **kwargs)


@mutant("K03", "gives the answers of a batch in reverse")
class Backwards(Reference):
    def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        return super().batch(inputs, config, **kwargs)[::-1]


@mutant("K03", "gives the answers of an async batch in reverse")
class BackwardsAsync(Reference):
    async def abatch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        return (await super().abatch(inputs, config, **kwargs))[::-1]


@mutant("K03", "lets one failure end the batch")
class AllOrNothing(Reference):
    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        return super().batch(inputs, config, **kwargs)


@mutant("K04", "answers an async batch one by one")
class OneByOne(Reference):
    async def abatch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        return [await self.ainvoke(given, config) for given in inputs]


@mutant("K05", "numbers the answers of a batch wrongly")
class Misnumbered(Reference):
    def batch_as_completed(self, *args: Any, **kwargs: Any) -> Any:
        return [(0, answer) for _, answer in super().batch_as_completed(*args, **kwargs)]


@mutant("K05", "gives all of a batch the first config")
class OneConfig(Reference):
    def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        first = config[0] if isinstance(config, list) else config
        return [self.invoke(given, first, **kwargs) for given in inputs]


@mutant("K05", "takes no notice of max_concurrency")
class Unlimited(Reference):
    async def abatch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        configs = config if isinstance(config, list) else [config or {}] * len(inputs)
        free = [{name: item for name, item in one.items() if name != "max_concurrency"} for one in configs]
        return await super().abatch(inputs, free, **kwargs)  # type: ignore[arg-type]
