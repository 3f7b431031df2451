"""What is written down is true: .env.example names exactly the settings that the sources read."""
import os
import re

from running import ROOT

# Named by the contract for services that later issues fill.
PROMISED = {
    "OLLAMA_URL", "GEMINI_BASE_URL", "GEMINI_API_KEY", "OVHCLOUD_BASE_URL", "OVHCLOUD_API_KEY", "AI_ENVIRONMENT",
    "REDIS_CACHE_URL", "ORCHESTRATOR_URL",
}
READER = re.compile(r'\b(?:secret|string|required|integer|number|flag|choice|url|optionalURL)\(\s*"([A-Z][A-Z0-9_]+)"')
DIRECT = re.compile(r'\bvalues\["([A-Z][A-Z0-9_]+)"\]')


def settings_of_the_sources():
    names = {}
    for top in ("Services", "Shared"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for file in files:
                if file.endswith(".swift"):
                    with open(os.path.join(folder, file)) as source:
                        text = "\n".join(line for line in source if not line.lstrip().startswith("///"))
                    for name in READER.findall(text) + DIRECT.findall(text):
                        names.setdefault(name, file)
    return names


def settings_of_the_example():
    with open(os.path.join(ROOT, ".env.example")) as file:
        return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", file.read(), re.M))


def test_env_example_names_every_setting():
    sources, example = settings_of_the_sources(), settings_of_the_example()
    missing = {name: file for name, file in sources.items() if name not in example}
    assert not missing, f".env.example does not name {missing}"


def test_env_example_names_nothing_else():
    unknown = settings_of_the_example() - settings_of_the_sources().keys() - PROMISED
    assert not unknown, f"no source reads {sorted(unknown)}"
