"""Attacks by way of git, whose settings and hooks are programs that somebody else runs later."""

from __future__ import annotations

from escape_attack import attack
from escape_effects import exists, git_says, gone, landed, written

#: A repository whose settings run a program when anybody as much as looks at it.
_TRAP = """
def trap(folder):
    os.makedirs(f"{folder}/objects"); os.makedirs(f"{folder}/refs/heads")
    open(f"{folder}/HEAD", "w").write("ref: refs/heads/main\\n")
    program = f"{scene.loot}/program-{name}"
    open(program, "w").write(f"#!/bin/sh\\ntouch {scene.root}/ran-{name}\\n")
    os.chmod(program, 0o755)
    open(f"{folder}/config", "w").write(f'[core]\\nrepositoryformatversion = 0\\nbare = false\\nfsmonitor = "{program}"\\n')
"""

GIT = (
    attack("plant-hook", "git-plants",
           "open(f'{scene.repo}/.git/hooks/post-commit', 'w').write(token)", written("repo/.git/hooks/post-commit")),
    attack("change-config", "git-plants",
           "open(f'{scene.repo}/.git/config', 'a').write(f'[alias]\\nst = !{token}\\n')", written("repo/.git/config")),
    attack("plant-attributes", "git-plants",
           "open(f'{scene.repo}/.git/info/attributes', 'w').write(f'* filter={token}')",
           written("repo/.git/info/attributes")),
    attack("plant-alternates", "git-plants",
           "open(f'{scene.repo}/.git/objects/info/alternates', 'w').write(f'{scene.loot}/{token}')",
           written("repo/.git/objects/info/alternates")),
    attack("plant-object", "git-plants",
           "open(f'{scene.repo}/.git/objects/info/planted', 'w').write(token)",
           written("repo/.git/objects/info/planted")),
    attack("lock-repository", "git-plants",
           "open(f'{scene.repo}/.git/index.lock', 'w').write(token)", written("repo/.git/index.lock")),
    attack(
        "move-branch", "git-refs",
        """
        sh(f"git --git-dir={scene.repo}/.git update-ref refs/heads/planted {scene.first}")
        open(f"{scene.repo}/.git/refs/heads/planted", "w").write(scene.first + "\\n")
        """,
        exists("repo/.git/refs/heads/planted"),
    ),
    attack(
        "push-to-repository", "git-refs",
        "sh(f'git push {scene.repo} HEAD:refs/heads/pushed')",
        exists("repo/.git/refs/heads/pushed"),
    ),
    attack("erase-reflog", "git-refs", "os.remove(f'{scene.repo}/.git/logs/HEAD')", gone("repo/.git/logs/HEAD")),
    attack(
        "destroy-history", "git-objects",
        "shutil.rmtree(f'{scene.repo}/.git/objects', ignore_errors=True)",
        git_says("cat-file", "-t", "main", differs_from=lambda _: "commit"),
    ),
    attack(
        "overwrite-object", "git-object",
        """
        for path in glob.glob(f"{scene.repo}/.git/objects/??/*"):
            os.chmod(path, 0o600)
            open(path, "w").write(token)
        """,
        git_says("cat-file", "-t", "main", differs_from=lambda _: "commit"),
    ),
    attack(
        "replace-git-file", "git-cover",
        "os.remove('.git'); open('.git', 'w').write(token)", written("state/worktrees/t1/.git"), standing=True,
    ),
    attack(
        "rename-git-file", "git-rename",
        "os.rename('.git', '.git-was')", exists("state/worktrees/t1/.git-was"), standing=True,
    ),
    attack(
        "unmount-git-file", "git-unmount",
        """
        with contextlib.suppress(OSError):
            call("umount2", b".git", 2)
        open(".git", "w").write(token)
        """,
        written("state/worktrees/t1/.git"), standing=True,
    ),
    attack(
        "trap-instead-of-git-file", "git-trap",
        _TRAP + "os.remove('.git')\ntrap('.git')\n", exists("ran-{name}"),
    ),
    attack(
        "trap-by-submodule", "git-submodule",
        _TRAP + """
trap("sub/.git")
sh(f"git update-index --add --cacheinfo 160000,{scene.first},sub && git -c user.name=a -c user.email=a@b commit -qm sub")
sh("git -C sub status")
""",
        exists("ran-{name}"),
    ),
    attack(
        "trap-in-own-git-dir", "git-own",
        _TRAP + """
program = f"{scene.loot}/program-{name}"
open(program, "w").write(f"#!/bin/sh\\ntouch {scene.root}/ran-{name}\\n")
os.chmod(program, 0o755)
for folder in (scene.git_dir, f"{scene.repo}/.git"):
    with contextlib.suppress(OSError):
        open(f"{folder}/config", "a").write(f'[core]\\nfsmonitor = "{program}"\\n')
        os.makedirs(f"{folder}/hooks", exist_ok=True)
        for hook in ("post-commit", "post-index-change", "reference-transaction", "post-checkout", "post-merge"):
            shutil.copy(program, f"{folder}/hooks/{hook}")
""",
        exists("ran-{name}"),
    ),
    attack(
        "trap-by-filter", "git-filter",
        """
        program = f"{scene.loot}/program-{name}"
        open(program, "w").write(f"#!/bin/sh\\ntouch {scene.root}/ran-{name}\\ncat\\n")
        os.chmod(program, 0o755)
        open(".gitattributes", "w").write("* filter=trap diff=trap\\n")
        for folder in (scene.git_dir, f"{scene.repo}/.git"):
            with contextlib.suppress(OSError):
                open(f"{folder}/config", "a").write(
                    f'[filter "trap"]\\nclean = {program}\\nsmudge = {program}\\n[diff "trap"]\\ntextconv = {program}\\n'
                )
        open("a.txt", "a").write("more\\n")
        """,
        exists("ran-{name}"),
    ),
    attack(
        "land-link-outwards", "git-link",
        "os.symlink('/etc/passwd', 'innocent'); sh('git add -A && git -c user.name=a -c user.email=a@b commit -qm link')",
        landed("innocent"),
    ),
)  # fmt: skip
