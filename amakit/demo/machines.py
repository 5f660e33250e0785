"""The machines of the demo, and what happens to each of them."""

import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from amakit.errors import UsageError
from amakit.intervals import instant

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
START = instant("2026-03-02")  # a Monday
#: A table is put together in memory, at some 0.7 MB for each machine and day.
MACHINE_DAYS = 6000
#: Forty machines, over and over: kind, operating system, role.  Further twists follow from the number alone.
_FLEET = """
vm Windows upgrade; vm Linux upgrade; set Linux upgrade; set Linux upgrade; arc Windows upgrade;
vm Windows rolled_back; vm Linux rolled_back_seen; arc Linux retried; vm Windows rollback_failed;
vm Linux unexplained; vm Windows stopped; vm Linux stopped_upgraded; vm Windows restarted;
vm Linux restarted; vm Windows disconnected; vm Linux double_hop; vm Windows downgraded; vm Linux partial;
vm Windows straggler; vm Windows dual_homed; vm Linux two_agents; vm Windows event_loss;
twin Windows upgrade; twin Linux upgrade; bare Linux upgrade; set Linux scaled_in; vm Windows crashed;
arc Windows powered_off; vm Windows upgraded_twice; arc Linux upgrade; vm Windows number_trap;
vm Linux disconnected; vm Windows unrecorded; vm Linux upgrade; vm Windows upgrade; arc Linux straggler;
vm Windows upgrade; vm Linux upgrade; vm Windows rewritten; vm Linux removed
"""
_CAST = [part.split() for part in _FLEET.split(";")]
_RELEASES = {"Windows": ("1.37.0.0", "1.38.1.0", "1.39.0.0"), "Linux": ("1.35.9", "1.36.1", "1.38.1")}
_SUBSCRIPTIONS = ("0b1e2d3c-4a5f-4687-9a0b-c0de00000001", "0b1e2d3c-4a5f-4687-9a0b-c0de00000002")
_PLATFORM, _PERSON = "7f3b9c54-1d20-4e8a-b6c1-c0de000000aa", "ines.kovac@contoso.example"
#: A service is told by the id of its object, which each tenant gives anew, and of its application, which all share.
_ARC_SERVICE = "3d2b8c60-91f4-4a7e-b5d8-c0de000000bb"
APPLICATIONS = {_ARC_SERVICE: "5e5e43d4-54da-4211-86a4-c6e7f3715801", _PLATFORM: "9c1f2e07-6a3b-4d58-8e21-c0de000000cc"}
WRITE, _ARC_UPGRADE = "/EXTENSIONS/WRITE", "MICROSOFT.HYBRIDCOMPUTE/MACHINES/UPGRADEEXTENSIONS/ACTION"
DELETE, _SCALE_IN = "/EXTENSIONS/DELETE", "MICROSOFT.INSIGHTS/AUTOSCALESETTINGS/SCALEDOWN/ACTION"
HEALTH, _PATCHES = "MICROSOFT.RESOURCEHEALTH/HEALTHEVENT", "MICROSOFT.COMPUTE/VIRTUALMACHINES/INSTALLPATCHES/ACTION"
#: For so long the workspace recorded nothing, of any machine, in the night of one day.
_UNRECORDED = 25 * MINUTE


@dataclass(frozen=True)
class Operation:
    """One control-plane operation, which the activity log tells in several rows; without an outcome it hangs.

    What `properties` say stands in the column of this name; an event of Resource Health is one row.
    """

    name: str
    began: int
    ended: int
    outcome: str = "Success"
    caller: str = _PLATFORM
    extension: str = ""
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outage:
    """A planned incident: the agent, or only its network, is away in ``[start, end)``.

    Attributes
    ----------
    cause : str
        One of the causes in the contract.
    start, end : int
        True instants; an outage that is `ongoing` ends with the window.
    version : str
        What the agent reports afterwards.
    off, boot : int
        When the operating system stopped and started; 0 where it kept running.
    ongoing, crashed, loses_events : bool
        Never came back; stopped without a shutdown; the logs written meanwhile are not read afterwards.
    operations : tuple of Operation
        What the activity log has to say.
    """

    cause: str
    start: int
    end: int
    version: str
    off: int = 0
    boot: int = 0
    ongoing: bool = False
    crashed: bool = False
    loses_events: bool = False
    operations: tuple = ()

    @property
    def silent(self) -> bool:
        """Whether the agent itself was down; a network failure only delays."""
        return self.cause != "disconnected"


@dataclass(frozen=True)
class Machine:
    """One machine of the fleet.

    Attributes
    ----------
    number, seed : int
        Place in the fleet, and the fleet's seed; together they fix everything that is drawn.
    kind, role : str
        ``vm``, ``set`` (scale-set instance), ``arc``, ``twin`` or ``bare`` (no resource id); what happens to it.
    resource_id, resource, computer, os_type : str
        The id as Azure Resource Manager spells it, in mixed case; the bare name; the name that it reports.
    window : tuple of int
        Start and end of all data.
    version : str
        What the agent reports at first.
    outages : tuple of Outage
        In order of time.
    unrecorded : tuple of int
        Start and end of the stretch in which the workspace recorded nothing; empty where there is none.
    """

    number: int
    seed: int
    kind: str
    role: str
    os_type: str
    resource_id: str
    resource: str
    computer: str
    window: tuple
    version: str = ""
    outages: tuple = ()
    unrecorded: tuple = ()

    def rng(self, purpose: str) -> np.random.Generator:
        """Give the generator of this machine for one purpose."""
        key = (self.number, zlib.crc32(purpose.encode()))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))

    def guid(self, purpose: str) -> str:
        """Give an identifier that is this machine's own."""
        return random_guid(self.rng(purpose))

    @property
    def keeps_phase(self) -> bool:
        """Whether the agent samples on the same seconds of the minute after a restart as before."""
        return self.number % 3 == 2

    @property
    def environment(self) -> str:
        """What Heartbeat calls the environment."""
        return "Non-Azure" if self.kind in ("arc", "bare") else "Azure"

    @property
    def versions(self) -> tuple[str, ...]:
        """The version of each life of the agent: before the first outage, after it, and so on."""
        return (self.version, *(o.version for o in self.outages))

    @property
    def extension(self) -> str:
        """Name of the agent's extension resource."""
        return f"AzureMonitor{self.os_type}Agent"

    @property
    def identity(self) -> dict[str, str]:
        """The columns that every table of the agent has; ids are in lower case on most machines only."""
        return {
            "Computer": self.computer,
            "_ResourceId": self.resource_id if self.number % 6 == 2 else self.resource_id.lower(),
            "_SubscriptionId": self.resource_id.split("/")[2] if self.resource_id else "",
            "SourceSystem": "OpsManager" if self.os_type == "Windows" else "Linux",
        }

    @property
    def known_as(self) -> dict[str, str]:
        """The machine's key in the truth."""
        return {"resource_id": self.resource_id.lower(), "computer": self.computer.lower()}


def random_guid(rng: np.random.Generator) -> str:
    """Draw a GUID."""
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def fleet(machines: int = 40, days: int = 14, seed: int = 1) -> list[Machine]:
    """Plan a fleet.

    Parameters
    ----------
    machines, days : int
        How many machines, and for how many days from 2026-03-02T00:00:00Z.
    seed : int
        The same seed gives the same fleet; what happens to its first machines does not depend on how many follow.
        A fleet of more than 32 machines has one that is upgraded while the workspace records nothing of any.

    Returns
    -------
    list of Machine

    Raises
    ------
    UsageError
        When a number is out of range.

    Examples
    --------
    >>> [(m.role, len(m.outages)) for m in fleet()[6:9]]
    [('rolled_back_seen', 3), ('retried', 4), ('rollback_failed', 1)]
    >>> fleet(machines=0)
    Traceback (most recent call last):
    amakit.errors.UsageError: machines is 0; a demo needs at least 1
    """
    for name, value, least in (("machines", machines, 1), ("days", days, 1), ("seed", seed, 0)):
        if value < least:
            raise UsageError(f"{name} is {value}; a demo needs at least {least}")
    if machines * days > MACHINE_DAYS:
        raise UsageError(
            f"{machines} machines for {days} days are {machines * days} machine days; a demo is made in memory "
            f"and has at most {MACHINE_DAYS}, so take fewer machines or days"
        )
    start = int(START.value // 1000)
    planned = [_plan(_machine(number, seed, (start, start + days * DAY))) for number in range(machines)]
    if any(machine.role == "unrecorded" for machine in planned):
        planned = [replace(machine, unrecorded=_unrecorded(machine.window)) for machine in planned]
    return planned


def _unrecorded(window):
    """Say when the workspace recorded nothing: in a night past the middle, when nothing else happens."""
    start, end = window
    since = start + int(0.6 * (end - start) / DAY) * DAY + 2 * HOUR + 40 * MINUTE
    return since, since + _UNRECORDED


def _machine(number, seed, window):
    kind, os_type, role = _CAST[number % len(_CAST)]
    tier = ("web", "sql", "batch")[number // 4 % 3]
    first_twin = number - (kind == "twin" and number % 2)
    resource = "vmss-api" if kind == "set" else f"{tier}-{first_twin + 1:02d}"
    provider = {
        "set": "Microsoft.Compute/virtualMachineScaleSets",
        "arc": "Microsoft.HybridCompute/machines",
    }.get(kind, "Microsoft.Compute/virtualMachines")
    group = f"rg-{tier}-{'east' if number % 2 else 'west'}" if kind == "twin" else f"rg-{tier}"
    group = "rg-api" if kind == "set" else group
    subscription = _SUBSCRIPTIONS[kind == "arc"]
    computer = f"vmssapi{number:06d}" if kind == "set" else resource
    return Machine(
        number=number,
        seed=seed,
        kind=kind,
        role=role,
        os_type=os_type,
        resource_id=""
        if kind == "bare"
        else f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}/{resource}",
        resource=resource,
        computer=f"{computer}.corp.contoso.example" if number % 4 == 0 and kind != "set" else computer,
        window=window,
    )


def _plan(machine):  # noqa: C901 - one branch for each role
    """Give a machine its versions and, by its role, its outages."""
    m, rng = machine, machine.rng("plan")
    oldest, old, new = _RELEASES[m.os_type]
    if m.os_type == "Windows" and m.number % 10 == 4:
        old, new = "1.36", "1.38.1.0"
    if m.role == "number_trap":
        old, new = "1.9.0", "1.10.0.0"
    next_day = m.role in ("rolled_back", "rolled_back_seen", "upgraded_twice")
    at = _working_hour(m, rng, spare=1 if next_day else 0)
    tomorrow = at + DAY + random_minutes(rng, -50, 50)
    version, hop, halt = old, partial(_hop, m, rng), partial(_halt, m, rng)
    match m.role:
        case "straggler":
            outages = []
        case "rolled_back":
            outages = [hop(at, old, "rolled_back"), hop(tomorrow, new)]
        case "rolled_back_seen":
            seen = hop(at, new)
            back = hop(seen.end + random_minutes(rng, 6, 15), old, "rolled_back")
            failed = replace(seen.operations[0], ended=back.end + 40 * SECOND, outcome="Failure")
            outages = [replace(seen, operations=(failed,)), replace(back, operations=()), hop(tomorrow, new)]
        case "retried":
            hours = [at + k * HOUR + random_minutes(rng, -2, 2) for k in range(int(rng.integers(4, 6)))]
            outages = [hop(t, old, "rolled_back") for t in hours[:-1]] + [hop(hours[-1], new)]
        case "rollback_failed":
            outages = [replace(hop(at, old, m.role), end=m.window[1], ongoing=True)]
        case "stopped":
            outages = [halt(at, old, "machine_stopped", random_minutes(rng, 40, 300), "DEALLOCATE START")]
        case "stopped_upgraded":
            outages = [halt(at, new, "machine_stopped", random_minutes(rng, 40, 300), "DEALLOCATE START")]
        case "powered_off":
            outages = [halt(at, old, "machine_stopped", random_minutes(rng, 20, 90))]
        case "restarted":
            asked = "RESTART" if m.os_type == "Windows" else ""
            outage = halt(at, old, "machine_restarted", random_minutes(rng, 2, 5), asked)
            outages = [outage if asked else replace(outage, operations=(_patched(outage),))]
        case "crashed":
            outage = halt(at, old, "machine_restarted", random_minutes(rng, 2, 5))
            outages = [replace(outage, crashed=True, operations=_failed_host(outage))]
        case "unrecorded":
            during = _unrecorded(m.window)[0] + random_minutes(rng, 6, 10)
            outages = [hop(during, new, "not_recorded", random_minutes(rng, 2, 5))]
        case "disconnected":
            outages = [Outage("disconnected", at, at + random_minutes(rng, 20, 60), old)]
        case "unexplained":
            outages = [Outage("unexplained", at, at + random_minutes(rng, 5, 20), old)]
        case "double_hop":
            version = oldest
            outages = [hop(at, old, lasts=random_minutes(rng, 0.7, 1.5))]
            outages.append(hop(outages[0].end + 9 * MINUTE, new, lasts=random_minutes(rng, 0.7, 1.5)))
        case "upgraded_twice":
            version = oldest
            days_apart = max(1, (m.window[1] - at) // DAY // 2)
            outages = [hop(at, old), hop(tomorrow + (days_apart - 1) * DAY, new)]
        case "downgraded":
            version, taken = new, hop(at, old)
            outages = [replace(taken, cause="downgrade", operations=(replace(taken.operations[0], caller=_PERSON),))]
        case "rewritten":
            outages = [hop(at, old, "agent_restarted")]
        case "removed":
            asked = Operation(
                f"MICROSOFT.COMPUTE/VIRTUALMACHINES{DELETE}",
                at - 20 * SECOND,
                at + 40 * SECOND,
                caller=_PERSON,
                extension=m.extension,
            )
            outages = [Outage("agent_removed", at, m.window[1], old, ongoing=True, operations=(asked,))]
        case "scaled_in":
            gone = at + random_minutes(rng, 90, 240)
            asked = Operation(_SCALE_IN, gone - 10 * SECOND, gone + 20 * SECOND, "Succeeded")
            removed = Outage("machine_removed", gone, m.window[1], new, ongoing=True, operations=(asked,))
            outages = [hop(at, new), removed]
        case "event_loss":
            outages = [replace(hop(at, new, lasts=random_minutes(rng, 6, 8)), loses_events=True)]
        case _:
            outages = [hop(at, new)]
    in_time = tuple(o for o in outages if o.ongoing or o.end < m.window[1] - HOUR)
    return replace(m, version=version, outages=in_time)


def random_minutes(rng: np.random.Generator, least: float, most: float) -> int:
    """Draw a length of time between two numbers of minutes."""
    return int(rng.uniform(least, most) * MINUTE)


def _working_hour(machine, rng, spare):
    """Draw when a machine's turn comes: a few canaries, then batches, in the hours when people are at work."""
    start, end = machine.window
    last = max((end - start) // DAY - 1 - spare, 0)
    wave = rng.choice([0.05, 0.2, 0.4, 0.6, 0.8], p=[0.1, 0.15, 0.25, 0.25, 0.25])
    week, day = divmod(min(int(wave * (end - start) / DAY), last), 7)
    if day > 4:  # the week end waits for Monday, or is brought forward to Friday
        week, day = (week + 1, 0) if (week + 1) * 7 <= last else (week, 4)
    return start + (week * 7 + day) * DAY + 9 * HOUR + random_minutes(rng, 0, 300)


def _hop(machine, rng, at, version, cause="upgrade", lasts=None):
    """Replace the agent's extension; what reports afterwards is `version`."""
    if lasts is None and cause == "rolled_back":
        lasts = random_minutes(rng, 2, 6)  # one removal and two installations
    elif lasts is None:
        lasts = int((np.clip(rng.lognormal(np.log(80), 0.8), 20, 470) + rng.uniform(0, 10)) * SECOND)
    began, ended = at - random_minutes(rng, 0.1, 0.7), at + lasts + random_minutes(rng, 0.3, 2)
    if machine.kind == "arc":  # Azure Arc calls it a success when the last known good version is back
        told = (Operation(_ARC_UPGRADE, began, ended, caller=_ARC_SERVICE, extension=machine.extension),)
    else:
        kind = "VIRTUALMACHINESCALESETS" if machine.kind == "set" else "VIRTUALMACHINES"
        outcome = "Failure" if cause == "rolled_back" or cause == "rollback_failed" else "Success"
        name = f"MICROSOFT.COMPUTE/{kind}{WRITE}"
        told = (Operation(name, began, ended, outcome, extension=machine.extension),)
    untold = machine.kind == "bare" or (machine.role == "upgrade" and machine.number % 9 == 1)
    return Outage(cause, at, at + lasts, version, operations=() if untold else told)


def _halt(machine, rng, at, version, cause, lasts, asked=""):
    """Stop the operating system and start it again; `asked` names the requests in the activity log."""
    off, boot = at + 6 * SECOND, at + lasts - random_minutes(rng, 0.4, 1)
    begun = {"START": boot - 20 * SECOND}
    operations = tuple(
        Operation(f"MICROSOFT.COMPUTE/VIRTUALMACHINES/{verb}/ACTION", t, t + 40 * SECOND, caller=_PERSON)
        for verb in asked.split()
        for t in [begun.get(verb, at - 15 * SECOND)]
    )
    return Outage(cause, at, at + lasts, version, off, boot, operations=operations)


def _patched(outage):
    """Install patches, which ends with a restart of the machine."""
    began, ended = outage.start - 14 * MINUTE, outage.end + 2 * MINUTE
    return Operation(_PATCHES, began, ended, properties={"rebootSetting": "IfRequired", "rebootStatus": "Completed"})


def _failed_host(outage):
    """Tell as Resource Health does that the host of a machine failed, and that the machine is back on another."""
    events = (("Activated", "Active", outage.off, "Unavailable"), ("Resolved", "Resolved", outage.end, "Available"))
    return tuple(
        Operation(
            f"{HEALTH}/{word.upper()}/ACTION",
            at,
            at,
            outcome,
            caller="",
            properties={
                "title": "Rebooting (unexpected host failure)",
                "currentHealthStatus": now,
                "type": "Downtime",
                "cause": "PlatformInitiated",
            },
        )
        for word, outcome, at, now in events
    )


def words_of_kinds(kinds: np.ndarray, words: Sequence) -> np.ndarray | pd.Categorical:
    """Give the word of each kind; texts as a categorical, so that none is held per row."""
    if not isinstance(words[0], str):
        return np.array(words)[kinds]
    unique = list(dict.fromkeys(words))
    return pd.Categorical.from_codes(np.array([unique.index(w) for w in words], "int16")[kinds], unique)
