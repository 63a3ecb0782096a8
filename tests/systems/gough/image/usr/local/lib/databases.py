"""PostgreSQL or MariaDB, with data of its own, for the tests of a network: whoever reaches the port is let in.

Their packages' scripts, which set them up, are not in the image: the same is done here.
"""

import glob
import os
import subprocess
import sys

#: They begin with mysql_ in MariaDB 10.11, and with mariadb_ in later ones.
SYSTEM_TABLES = ["system_tables", "performance_tables", "system_tables_data"]


def postgres():
    """The command of the server, once its data is there."""
    (programs,) = glob.glob("/usr/lib/postgresql/*/bin")
    if not os.path.exists("/tmp/data/PG_VERSION"):
        made = [
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
            "--pgdata=/tmp/data",
        ]
        subprocess.run([programs + "/initdb", *made], check=True)
        with open("/tmp/data/pg_hba.conf", "a", encoding="utf-8") as rules:
            rules.write("host all all 172.20.0.0/16 trust\n")
    return [programs + "/postgres", "-D", "/tmp/data", "-k", "/tmp", "-c", "listen_addresses=*", "-c", "jit=off"]


def mysql():
    """The same of the other."""
    common = ["--no-defaults", "--datadir=/tmp/data", "--lc-messages-dir=/usr/share/mysql", "--skip-log-bin"]
    if not os.path.isdir("/tmp/data/mysql"):
        os.makedirs("/tmp/data", exist_ok=True)
        statements = "CREATE DATABASE mysql;\nUSE mysql;\n"
        for name in SYSTEM_TABLES:
            (path,) = glob.glob("/usr/share/mysql/m*_%s.sql" % name)
            with open(path, encoding="utf-8") as file:
                statements += file.read()
        bootstrap = ["/usr/sbin/mariadbd", *common, "--bootstrap", "--silent-startup"]
        subprocess.run(bootstrap, input=statements.encode(), check=True)
    served = [
        "--skip-grant-tables",
        "--skip-networking=0",
        "--bind-address=0.0.0.0",
        "--port=3306",
        "--socket=/tmp/mysql.sock",
    ]
    return ["/usr/sbin/mariadbd", *common, *served]


number, command = {"postgres": (70, postgres), "mysql": (71, mysql)}[sys.argv[1]]
os.setgid(number)
os.setuid(number)
argv = command()
os.execv(argv[0], argv)
