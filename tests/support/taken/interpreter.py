# A host's Python: the fleet writes its own in place of the next line.
HOST, FOLDER, SNAPSHOT = "", "", ""
# It notes the module that it was given, and answers from a table.
import ast
import fcntl
import json
import os
import re
import sys

TOKENS = {"Worker": "worker-token", "Manager": "manager-token"}
ANSWERS = {
    "community.docker.docker_swarm": {"swarm_facts": {"JoinTokens": TOKENS}},
    "bulkhead.tiers.docker_engine_config": {
        "missing": [],
        "engine": {"present": True, "running": True, "enabled": False, "unit": "docker.service"},
    },
    "ansible.builtin.stat": {"stat": {"exists": False}},
    "ansible.builtin.command": {"stdout": "[]", "stderr": "", "rc": 0},
    "bulkhead.tiers.swarm_network_info": {"networks": [], "node": {"name": HOST}, "pools": {"engine": [], "swarm": []}},
    "bulkhead.tiers.ufw_ruleset_info": {"snapshot": SNAPSHOT},
    "bulkhead.tiers.ufw_ruleset_plan": {"same": False},
    "bulkhead.tiers.flow_listen": {"addresses": [], "services": [], "hears": {"wire": True}},
    "bulkhead.tiers.flow_probe": {"results": []},
}


def main():
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8") as file:
            payload = file.read()
    else:
        payload = sys.stdin.read()
    (params,) = re.findall(r"^params=(.*),$", payload, re.MULTILINE)
    arguments = json.loads(ast.literal_eval(params))["ANSIBLE_MODULE_ARGS"]
    module = arguments["_ansible_module_name"].replace("ansible.legacy.", "ansible.builtin.")
    content = ""
    if module == "ansible.builtin.copy" and os.path.isfile(arguments.get("src") or ""):
        with open(arguments["src"], encoding="utf-8") as file:
            content = file.read()
    plain = {name: value for name, value in arguments.items() if not name.startswith("_ansible_")}
    line = json.dumps({"host": HOST, "module": module, "arguments": plain, "content": content})
    with open(FOLDER + "/calls", "a", encoding="utf-8") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.write(line + "\n")
    answer = {"changed": False, **ANSWERS.get(module, {})}
    if HOST == "taken":
        with open(FOLDER + "/attack", encoding="utf-8") as file:
            attack = json.load(file)
        if not attack["modules"] or module in attack["modules"]:
            answer["ansible_facts"] = attack["facts"]
    print(json.dumps(answer))


main()
