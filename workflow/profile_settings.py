"""What a profile sets for the rules that it knows, for those that it cannot know."""

from snakemake.workflow import Workflow


def share_settings(workflow: Workflow, rule: str, variant: str) -> None:
    """Have what a profile sets for `rule` hold for a variant; what it sets for that comes first."""
    asked = workflow.resource_settings.overwrite_resources
    for name in (rule, variant):
        workflow.get_rule(variant).resources.update(asked.get(name, {}))
