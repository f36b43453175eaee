"""Puts the code of an application back to an earlier commit."""

import os

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drcenter.errors import OperationFailed
from incidents.actions.base import Action, Context, State

# git-check-ref-format(1), narrower: never an option, never a range.
REVISION = r"^[A-Za-z0-9_][A-Za-z0-9_./@{}^~-]*$"


class CheckoutOptions(forms.Form):
    revision = forms.CharField(
        label=gettext_lazy("commit"), initial="ORIG_HEAD", validators=[RegexValidator(REVISION)],
        help_text=gettext_lazy(
            "A tag, a branch or a commit. ORIG_HEAD is where the work tree stood before the last pull or merge."
        ),
    )  # fmt: skip
    directory = forms.CharField(
        label=gettext_lazy("directory"), required=False,
        help_text=gettext_lazy("Of the work tree. Empty: the directory of the system's commands."),
    )  # fmt: skip


class Plugin(Action):
    label = gettext_lazy("Roll back the code (git)")
    Options = CheckoutOptions
    reversible = True

    def describe(self) -> str:
        return f"git checkout {self.options['revision']}"

    def look(self, context: Context) -> State:
        where = self._directory(context)
        if not os.path.isdir(where):
            raise OperationFailed(_("There is no directory %(path)s.") % {"path": where}, permanent=True)
        wanted = self._git(
            context, "rev-parse", "--verify", "--end-of-options", f"{self.options['revision']}^{{commit}}"
        )
        changed = self._changed(context)
        return {
            "commit": self._git(context, "rev-parse", "HEAD"),
            "branch": self._git(context, "symbolic-ref", "--quiet", "--short", "HEAD", accepted=(0, 1)),
            "wanted": wanted,
            "title": self._git(context, "log", "-1", "--format=%h %cs %s", wanted),
            "behind": int(self._git(context, "rev-list", "--count", f"{wanted}..HEAD")),
            "changed": changed.splitlines(),
        }

    def foretell(self, before: State) -> list[str]:
        steps = [
            _("The code becomes that of %(title)s; %(count)d commits are taken back.")
            % {"title": before["title"], "count": before["behind"]}
        ]
        if before["changed"]:
            steps.append(
                _("Changes in files that are in no commit are kept as a stash: %(files)s.")
                % {"files": ", ".join(before["changed"][:10])}
            )
        return [
            *steps,
            _(
                "Packages and the database stay as they are: roll them back as well, if the release changed them."
            ),
        ]

    def execute(self, context: Context, before: State) -> None:
        if before["changed"] and self._changed(context):
            self._git(context, "stash", "push", "--message", "before a rollback by the DR Center")
        self._git(context, "checkout", "--quiet", "--detach", before["wanted"])

    def verify(self, context: Context, before: State) -> str:
        now = self._git(context, "rev-parse", "HEAD")
        left = self._changed(context)
        if now != before["wanted"] or left:
            raise OperationFailed(_("The work tree is not at %(title)s.") % {"title": before["title"]}, left)
        return _("The work tree is at %(title)s.") % {"title": before["title"]}

    def undo(self, context: Context, before: State) -> None:
        """Back to the branch, or the commit, of before; what was stashed is left to a person, who sees it there."""
        target = [before["branch"]] if before["branch"] else ["--detach", before["commit"]]
        self._git(context, "checkout", "--quiet", *target)
        if self._git(context, "rev-parse", "HEAD") != before["commit"]:
            raise OperationFailed(
                _("The branch %(branch)s has moved since.") % {"branch": before["branch"]},
                f"git checkout --detach {before['commit']}",
            )

    def _changed(self, context: Context) -> str:
        """The files with changes that are in no commit, one a line."""
        return self._git(context, "diff", "--name-only", "HEAD")

    def _directory(self, context: Context) -> str:
        return self.options["directory"] or context.ground.directory or "."

    def _git(self, context: Context, *words: str, accepted: tuple[int, ...] = (0,)) -> str:
        # No hook, no monitor: what the repository brings with it is not run by us.
        safe = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
        return context.ground.run("git", "-C", self._directory(context), *safe, *words, accepted=accepted)
