"""The cause of an outage, held against rules that are written down here once more, over a grid of scenarios."""

from itertools import product

import pandas as pd
import pytest
from fleet import at

from amakit.causes.decision import decide, linked
from amakit.causes.evidence import COLUMNS, gather, operations_beside, system_kind
from amakit.causes.operations import operations
from amakit.schemas import MACHINE, Cause, frame_of

VM = "/subscriptions/0/resourcegroups/rg/providers/microsoft.compute/virtualmachines/a"
COMPUTE, AGENT = "microsoft.compute/virtualmachines", "/extensions/azuremonitorlinuxagent"
HORIZON = at("2026-03-09 12:00")
#: When the agent fell silent, and when it is back.
NOON = at("2026-03-04 12:00")
OPERATIONS = {
    "write": (f"{COMPUTE}/extensions/write", AGENT), "delete agent": (f"{COMPUTE}/extensions/delete", AGENT),
    "arc upgrade": ("microsoft.hybridcompute/machines/upgradeextensions/action", ""),
    "deallocate": (f"{COMPUTE}/deallocate/action", ""), "power off": (f"{COMPUTE}/poweroff/action", ""),
    "restart": (f"{COMPUTE}/restart/action", ""), "redeploy": (f"{COMPUTE}/redeploy/action", ""),
    "maintenance": (f"{COMPUTE}/performmaintenance/action", ""), "delete": (f"{COMPUTE}/delete", ""),
    "other extension": (f"{COMPUTE}/extensions/write", "/extensions/keyvaultforlinux"),
}  # fmt: skip
WHEN = {"long before": -5 * 60, "at": 0, "one hour after": 60, "three days after": 3 * 24 * 60}
VERSIONS = {"same": "1.37.0", "newer": "1.38.1", "older": "1.36.2"}
GRID = list(product(OPERATIONS, ["failed", "succeeded", "started"], WHEN, ["back", "silent"], VERSIONS, [False, True]))


def act(name, status, when, minutes=3, target=VM, caller="", said="", number=0):
    """The rows that the activity log writes of an operation."""
    operation, extension = OPERATIONS.get(name, (name, ""))
    last = {"failed": ["failure"], "succeeded": ["success"], "started": []}.get(status, [status])
    times = [when, when + pd.Timedelta(seconds=2), when + pd.Timedelta(minutes=minutes)]
    return [
        {
            "TimeGenerated": t,
            "Operation": operation,
            "Status": s,
            "Target": target,
            "Entity": target + extension,
            "Caller": caller,
            "Application": "",
            "CorrelationId": f"{name} {when} {number}",
            "Properties": said,
        }
        for t, s in zip(times, ["start", "accept", *last], strict=False)
    ]


def silence(start=NOON, minutes=4.0, versions=("1.37.0", "1.37.0"), computer="a", resource=VM):
    """An outage as heartbeats alone bracket it; it goes on where no minutes are given."""
    minute = pd.Timedelta(minutes=1)
    end = pd.NaT if minutes is None else start + minutes * minute
    return {
        "resource_id": resource,
        "computer": computer,
        "from_version": versions[0],
        "to_version": "" if minutes is None else versions[1],
        "start_earliest": start - minute / 2,
        "start_latest": start + minute / 2,
        "end_earliest": end - minute,
        "end_latest": end,
    }


def said(*lines):
    """Lines of the system's own log: instant, table, source, number, message, and the machine if it is not ``a``."""
    columns = [*MACHINE, "TimeGenerated", "data_type", "Source", "Number", "Message"]
    types = dict.fromkeys(columns, "string") | {"TimeGenerated": "datetime"}
    rows = [(*(line[5:] or (VM, "a")), *line[:5]) for line in lines]
    return frame_of({c: [row[n] for row in rows] for n, c in enumerate(columns)}, types)


def counted(*samples):
    rows = [(VM, "a", when, seconds) for when, seconds in samples]
    types = {"resource_id": "string", "computer": "string", "TimeGenerated": "datetime", "Uptime": "real"}
    return frame_of({c: [row[n] for row in rows] for n, c in enumerate(types)}, types)


def found(outages, acts=(), system=None, uptime=None, undone=(), horizon=HORIZON):
    """Give the outages with their causes, and the evidence."""
    names = [
        "TimeGenerated",
        "Operation",
        "Status",
        "Target",
        "Entity",
        "Caller",
        "Application",
        "CorrelationId",
        "Properties",
    ]
    types = dict.fromkeys(names, "string") | {"TimeGenerated": "datetime"}
    log = operations(frame_of({c: [row[c] for row in acts] for c in names}, types))
    types = dict.fromkeys(["computer", "from_version", "to_version", "resource_id"], "string")
    types |= dict.fromkeys(["start_earliest", "start_latest", "end_earliest", "end_latest"], "datetime")
    table = frame_of({c: [row[c] for row in outages] for c in types}, types)
    none = {"TimeGenerated": "datetime", "Computer": "string", "Key": "string", "Status": "string", "Detail": "string"}
    messages = frame_of({c: [] for c in none}, none).rename(columns={"Computer": "Computer"})
    proof = gather(
        table, log, said() if system is None else system, counted() if uptime is None else uptime, messages, horizon
    )
    return table.assign(cause=decide(table, proof, set(undone), horizon)), proof


def causes(*args, **options):
    return found(*args, **options)[0]["cause"].tolist()


def expected(operation, status, when, agent, version, stopped):
    """Say the cause by the table of causes in the design, read row by row."""
    explains = when == "at"  # an operation hours before or after the beginning is a note
    done = explains and status != "failed"
    if done and operation == "delete":
        return "machine_removed"
    if stopped or (done and operation in ("deallocate", "power off")):
        return "machine_stopped"
    if agent == "back" and done and operation in ("restart", "redeploy", "maintenance"):
        return "machine_restarted"
    if agent == "silent":
        if explains and operation in ("write", "arc upgrade"):
            return "rollback_failed"
        removed = explains and status == "succeeded" and operation == "delete agent"
        return "agent_removed" if removed else "unexplained"
    if version != "same":
        return {"newer": "upgrade", "older": "downgrade"}[version]
    if explains and (operation == "arc upgrade" or (operation, status) == ("write", "failed")):
        return "rolled_back"
    if explains and status == "succeeded" and operation in ("write", "delete agent"):
        return "agent_restarted"
    return "unexplained"


def test_the_grid_of_scenarios():
    """All of it at once, each scenario a machine of its own."""
    outages, log, system, wanted = [], [], [], []
    for n, (operation, status, when, agent, version, stopped) in enumerate(GRID):
        vm = f"{VM}{n}"
        began = NOON + pd.Timedelta(minutes=WHEN[when]) - pd.Timedelta(seconds=20)
        log += act(operation, status, began, target=vm, number=n)
        outages.append(silence(NOON, 4 if agent == "back" else None, ("1.37.0", VERSIONS[version]), f"a{n}", vm))
        line = NOON - pd.Timedelta(seconds=5), "Event", "User32", "1074", "Shutdown Type: power off", vm, f"a{n}"
        system += [line] if stopped else []
        wanted.append(expected(operation, status, when, agent, version, stopped))
    table, _ = found(outages, log, said(*system))
    wrong = [(case, got, want) for case, got, want in zip(GRID, table["cause"], wanted, strict=True) if got != want]
    assert not wrong, (len(wrong), wrong[:5])
    assert len(GRID) == 1440
    assert set(table["cause"]) <= set(Cause)


def minutes(n):
    return pd.Timedelta(minutes=n)


RESTART = [
    (NOON - pd.Timedelta(seconds=8), "Event", "User32", "1074", "Shutdown Type: restart"),
    (NOON + minutes(1.5), "Event", "EventLog", "6005", "The Event log service was started."),
]


def moved(lines, by):
    return [(when + minutes(by), *rest) for when, *rest in lines]


@pytest.mark.parametrize("apart", [4, 5, 6, 9])
def test_a_restart_and_an_upgrade_minutes_apart_are_both(apart):
    new = ("1.37.0", "1.38.1")
    first, second = silence(NOON, 2.5), silence(NOON + minutes(apart), 1, new)
    assert causes([first, second], system=said(*RESTART)) == ["machine_restarted", "upgrade"]
    first, second = silence(NOON, 1, new), silence(NOON + minutes(apart), 2.5, ("1.38.1", "1.38.1"))
    assert causes([first, second], system=said(*moved(RESTART, apart))) == ["upgrade", "machine_restarted"]


@pytest.mark.parametrize("later", ["restart", "deallocate"])
@pytest.mark.parametrize("hours", [0.5, 2, 8, 72])
def test_what_is_done_to_the_machine_later_does_not_hide_a_failed_upgrade(later, hours):
    log = act("write", "failed", NOON - minutes(1)) + act(later, "succeeded", NOON + minutes(60 * hours))
    table, proof = found([silence(minutes=None)], log)
    assert table["cause"].tolist() == ["rollback_failed"]
    assert proof["at_start"].tolist() == [True, False]  # a note


def test_settings_written_again_restart_the_agent():
    assert causes([silence()], act("write", "succeeded", NOON - minutes(1), caller="policy")) == ["agent_restarted"]


def test_an_agent_that_restarts_once_more_after_a_good_upgrade_is_not_rolled_back():
    twice = [silence(NOON, 2, ("1.37.0", "1.38.1")), silence(NOON + minutes(10), 2, ("1.38.1", "1.38.1"))]
    assert causes(twice, act("write", "succeeded", NOON - minutes(1), minutes=4)) == ["upgrade", "unexplained"]
    assert causes(twice, act("write", "started", NOON - minutes(1))) == ["upgrade", "unexplained"]


@pytest.mark.parametrize("reported", [12, 17, 40])
@pytest.mark.parametrize("status", ["succeeded", "started"])
def test_a_machine_cut_off_after_a_good_upgrade_has_no_failed_roll_back(reported, status):
    after = NOON + minutes(3 + reported)
    pair = [silence(NOON, 3, ("1.37.0", "1.38.1")), silence(after, None, ("1.38.1", ""))]
    assert causes(pair, act("write", status, NOON - minutes(1), minutes=5)) == ["upgrade", "unexplained"]


def test_an_upgrade_across_the_end_of_the_window_is_an_upgrade_whose_end_is_not_known():
    log = act("write", "succeeded", NOON - minutes(1))
    assert causes([silence(minutes=None)], log, horizon=NOON + minutes(5)) == ["upgrade"]
    assert causes([silence(versions=("1.37.0", ""))], log, horizon=NOON + minutes(1)) == ["upgrade"]
    assert causes([silence(minutes=None)], log, horizon=NOON + minutes(120)) == ["rollback_failed"]
    failed = act("write", "failed", NOON - minutes(1))
    assert causes([silence(minutes=None)], failed, horizon=NOON + minutes(5)) == ["rollback_failed"]


def test_an_older_version_that_undoes_an_upgrade_is_a_roll_back():
    back = silence(versions=("1.38.1", "1.37.0"))
    undone = {(VM, "a", "1.38.1", "1.37.0")}
    assert causes([back], undone=undone) == ["rolled_back"]
    assert causes([back]) == ["downgrade"]


@pytest.mark.parametrize(("away", "cause"), [(5, "agent_restarted"), (90, "agent_removed"), (None, "agent_removed")])
def test_a_deleted_extension_is_a_removal_unless_it_is_back_at_once(away, cause):
    assert causes([silence(minutes=away)], act("delete agent", "succeeded", NOON - minutes(1))) == [cause]


HEALTH = "microsoft.resourcehealth/healthevent/{}/action"


def health(word, when, title, cause="PlatformInitiated", status="Unavailable", kind="Downtime"):
    names = {"title": title, "currentHealthStatus": status, "type": kind, "cause": cause}
    text = "{" + ",".join(f'"{k}":"{v}"' for k, v in names.items()) + "}"
    return act(HEALTH.format(word), "active", when, said=text)[:1]


@pytest.mark.parametrize(
    ("title", "away", "cause"),
    [("Rebooting (unexpected host failure)", 9, "machine_restarted"), ("Unavailable", 9, "machine_restarted"),
     ("Stopped by user or process", 9, "machine_stopped"), ("Unavailable", 90, "machine_stopped"),
     ("Deallocated", None, "machine_stopped"), ("Rebooting", None, "unexplained")],
)  # fmt: skip
def test_resource_health_tells_of_the_machine(title, away, cause):
    log = health("activated", NOON + minutes(0.5), title)
    assert causes([silence(minutes=away)], log) == [cause]
    assert causes([silence(minutes=away)], health("activated", NOON - minutes(60), title)) == ["unexplained"]
    calm = health("activated", NOON, title, kind="Information")
    assert causes([silence(minutes=away)], calm) == ["unexplained"]


SET = "/subscriptions/0/resourcegroups/rg/providers/microsoft.compute/virtualmachinescalesets/web"
SCALE_IN = "microsoft.insights/autoscalesettings/scaledown/action"


def test_autoscale_removes_the_instances_that_do_not_come_back():
    one, two = silence(minutes=None, computer="web0", resource=SET), silence(computer="web1", resource=SET)
    assert causes([one, two], act(SCALE_IN, "succeeded", NOON, target=SET)) == ["machine_removed", "unexplained"]
    setting = "/subscriptions/0/resourcegroups/rg/providers/microsoft.insights/autoscalesettings/own"
    text = f'{{"ResourceName":"{SET.upper()}","OldInstancesCount":3}}'
    assert causes([one], act(SCALE_IN, "succeeded", NOON, target=setting, said=text)) == ["machine_removed"]


@pytest.mark.parametrize(("name", "properties", "attempt"), [
    ("vmssx-monitor-tst", "{}", True), ("mine", '{"publisher":"Microsoft.Azure.Monitor","type":"AzureMonitorLinuxAgent"}', True),
    ("mine", '{\\"publisher\\":\\"Contoso\\",\\"type\\":\\"Backup\\"}', False), ("customscriptextension", "", False),
])  # fmt: skip
def test_the_extension_under_a_name_of_the_users_own(name, properties, attempt):
    log = act(
        f"{COMPUTE}/extensions/write", "failed", NOON - minutes(1), target=f"{VM}/extensions/{name}", said=properties
    )
    assert causes([silence()], log) == ["rolled_back" if attempt else "unexplained"]
    known = act("write", "succeeded", NOON - minutes(6000))  # here the agent goes by its own name
    if properties == "{}":
        assert causes([silence()], log + known) == ["unexplained"]


@pytest.mark.parametrize("status", ["Unknown", "Degraded"])
@pytest.mark.parametrize("away", [4, 90])
def test_a_machine_of_which_resource_health_knows_nothing_was_not_seen_to_be_down(status, away):
    assert causes([silence(minutes=away)], health("activated", NOON + minutes(0.5), status, status=status)) == [
        "unexplained"
    ]


def test_health_is_read_from_properties_that_are_cut_short():
    said_so = '{"title":"Rebooting", "currentHealthStatus":"Unavailable", "type":"Downt'
    assert causes([silence()], act(HEALTH.format("activated"), "active", NOON, said=said_so)[:1]) == [
        "machine_restarted"
    ]


@pytest.mark.parametrize(
    "operation",
    [
        f"{COMPUTE}/runcommands/delete",
        f"{COMPUTE}/providers/guestconfigurationassignments/delete",
        f"{COMPUTE}/providers/microsoft.insights/diagnosticsettings/delete",
        "microsoft.hybridcompute/machines/licenseprofiles/delete",
        "microsoft.compute/virtualmachinescalesets/rollingupgrades/cancel/action",
        f"{COMPUTE}/assesspatches/action",
    ],
)
def test_what_is_done_to_a_part_of_a_machine_or_called_off_is_not_done_to_it(operation):
    assert causes([silence(minutes=None)], act(operation, "succeeded", NOON)) == ["unexplained"]
    assert causes([silence()], act(operation, "succeeded", NOON)) == ["unexplained"]


@pytest.mark.parametrize("operation", ["osrollingupgrade", "rollingupgrades", "manualupgrade"])
def test_an_instance_is_restarted_when_its_set_is_upgraded(operation):
    name = f"microsoft.compute/virtualmachinescalesets/{operation}/action"
    for minutes_away, cause in ((4, "machine_restarted"), (None, "unexplained")):
        log = act(name, "succeeded", NOON - minutes(90), minutes=240, target=SET)
        assert causes([silence(minutes=minutes_away, resource=SET, computer="web0")], log) == [cause]


@pytest.mark.parametrize(
    ("away", "newer", "cause"), [(33, False, "agent_removed"), (6, False, "agent_restarted"), (33, True, "upgrade")]
)
def test_an_agent_that_is_removed_and_installed_under_another_name(away, newer, cause):
    own = '{"publisher":"Microsoft.Azure.Monitor","type":"AzureMonitorLinuxAgent"}'
    again = act(
        f"{COMPUTE}/extensions/write", "succeeded", NOON + minutes(away - 3), target=f"{VM}/extensions/mine", said=own
    )
    versions = ("1.37.0", "1.38.1" if newer else "1.37.0")
    log = act("delete agent", "succeeded", NOON - minutes(0.3)) + again
    assert causes([silence(minutes=away, versions=versions)], log) == [cause]


def test_a_second_attempt_in_the_same_outage_decides_by_what_reports_afterwards():
    log = act("write", "failed", NOON - minutes(1)) + act("write", "succeeded", NOON + minutes(4), number=1)
    assert causes([silence(minutes=8, versions=("1.37.0", "1.38.1"))], log) == ["upgrade"]
    assert causes([silence(minutes=None)], log) == ["rollback_failed"]


def test_names_in_words_are_the_operations_of_old_columns():
    log = act("create or update virtual machine extension", "failed", NOON - minutes(1), target=VM + AGENT)
    assert causes([silence()], log) == ["rolled_back"]
    assert causes([silence(minutes=90)], act("deallocate virtual machine", "succeeded", NOON)) == ["machine_stopped"]


LINUX = "Linux version 5.15.0 (buildd@lcy02)"
COMMAND = "Command line: BOOT_IMAGE=/boot/vmlinuz root=/dev/sda1 hibernate=noresume idle=halt reboot=power_off"


@pytest.mark.parametrize(("lines", "cause"), [
    ([(1.5, "kernel", LINUX), (1.5, "kernel", COMMAND)], "machine_restarted"),
    ([(-0.1, "systemd-logind", "System is powering down."), (30, "kernel", LINUX)], "machine_stopped"),
    ([(-0.1, "systemd-logind", "System is rebooting."), (1, "kernel", LINUX)], "machine_restarted"),
    ([(1.5, "systemd", "Startup finished in 4.1s (kernel) + 11.6s (userspace) = 15.7s.")], "machine_restarted"),
    ([(1.5, "systemd", "Startup finished in 50ms.")], "unexplained"),
    ([(1.5, "app", "kernel panic in the shop: power off, reboot, halt")], "unexplained"),
    ([(40, "kernel", LINUX)], "machine_stopped"),
])  # fmt: skip
def test_lines_of_syslog_count_by_their_kind(lines, cause):
    system = said(*((NOON + minutes(m), "Syslog", source, "", text) for m, source, text in lines))
    assert causes([silence(minutes=45 if lines[-1][0] > 2 else 2.5)], system=system) == [cause]


def test_an_uptime_counter_that_ran_on_outweighs_the_log_and_one_that_began_anew_is_a_restart():
    system = said(*RESTART)
    assert causes([silence()], system=system, uptime=counted((NOON + minutes(5), 86400.0))) == ["unexplained"]
    assert causes([silence()], uptime=counted((NOON + minutes(5), 200.0))) == ["machine_restarted"]
    after_the_next = counted((NOON + minutes(9), 60.0))  # began anew after this outage was over
    assert causes([silence()], uptime=after_the_next) == ["unexplained"]


def test_a_system_that_went_down_hours_after_the_agent_did_not_silence_it():
    system = said(*moved(RESTART, 120))
    assert causes([silence(minutes=123)], system=system) == ["unexplained"]
    failed = act("write", "failed", NOON - minutes(1))
    assert causes([silence(minutes=123)], failed, system) == ["rolled_back"]


def test_machines_that_fall_silent_together_are_counted_once_each():
    many = [silence(NOON + pd.Timedelta(seconds=n), computer=c) for c in "abc" for n in range(10)]
    assert "fleet_silent" not in set(found(many)[1]["kind"])  # two others are too few to say so
    many = [silence(NOON + pd.Timedelta(seconds=n), computer=c) for c in "abcd" for n in range(10)]
    assert set(found(many)[1].query("kind == 'fleet_silent'")["text"]) == {"3"}


def test_attempts_that_follow_each_other_are_linked():
    tries = [silence(), silence(NOON + minutes(60), versions=("1.37.0", "1.38.1"))]
    table, _ = found(tries, act("write", "failed", NOON - minutes(1)))
    rows = linked(table)
    assert rows[["outage", "kind", "status", "text"]].values.tolist() == [
        [0, "next_attempt", "upgrade", ""],
        [1, "previous_attempt", "", "2"],
    ]
    assert list(rows) == list(COLUMNS)


def test_operations_lie_beside_outages_with_their_role():
    log = act("write", "failed", NOON - minutes(1)) + act("deallocate", "succeeded", NOON + minutes(90))
    names = list(log[0])
    acts = operations(pd.DataFrame(log)[names])
    table, _ = found([silence(minutes=None)])
    assert operations_beside(table, acts, HORIZON)["role"].tolist() == ["attempt", "power"]


def test_a_callers_application_is_its_actor_and_a_person_is_a_person():
    rows = pd.DataFrame(act("write", "failed", NOON, caller="0000-guid"))
    assert operations(rows.assign(Application="app"))["actor"].tolist() == ["app"]
    person = rows.assign(Caller="ines@contoso.example", Application="portal")
    assert operations(person)["actor"].tolist() == ["ines@contoso.example"]


def test_shutdown_types_are_read_from_windows_events():
    assert system_kind("Event", "User32", "1074", "x Shutdown Type: power off y") == "power_off"
    assert system_kind("Event", "User32", "1074", "Herunterfahrtyp: Neustart") == "shutdown"
    assert system_kind("Event", "Kernel-Power", "41", "") == "crash"
