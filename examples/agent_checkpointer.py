"""An agent that asks a person before it acts, and goes on where it was: LangGraph's checkpointer, interrupt and resume.

    pip install langplug langchain && python examples/agent_checkpointer.py

The model is a function that plays one by a rule; langplug describes the tool to it, and reads the call out of its text.
With a checkpointer on disk (langgraph-checkpoint-sqlite) the second half may run in another process, or next week.
"""

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from langplug import Request, chat_model


@chat_model
def clerk(request: Request) -> str:
    """Pays what it is asked to pay, and says what came of it."""
    if "<tool_response>" in request.text:
        return "Refused." if "refused" in request.text else "It is paid."
    if "paid" in request.text:
        said = [message.text for message in request.messages if message.type == "human"]
        return f"You asked: {said[0]}"
    return '<tool_call>{"name": "pay", "arguments": {"to": "Bo", "euros": 120}}</tool_call>'


def pay(to: str, euros: int) -> str:
    """Pay somebody."""
    approved = interrupt(f"Pay {euros} euros to {to}?")
    return f"paid {euros} euros to {to}" if approved else "refused by a person"


def main() -> None:
    """Ask, be asked, approve, and ask again in the same thread; then refuse in another."""
    agent = create_agent(clerk(), [pay], checkpointer=InMemorySaver())
    for thread, approved in (("monday", True), ("tuesday", False)):
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        waiting = agent.invoke({"messages": [("user", "Pay Bo for the chairs.")]}, config)
        print(f"{thread}: {waiting['__interrupt__'][0].value}")

        done = agent.invoke(Command(resume=approved), config)
        print(f"{thread}: {'yes' if approved else 'no'} → {done['messages'][-1].text}")

    later = agent.invoke({"messages": [("user", "What was paid?")]}, {"configurable": {"thread_id": "monday"}})
    print(f"monday: {later['messages'][-1].text} ({len(later['messages'])} messages in the thread)")


if __name__ == "__main__":
    main()
