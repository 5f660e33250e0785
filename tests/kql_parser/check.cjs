// Microsoft's own KQL parser as a filter: JSON lines in, JSON lines out.
//
// A line {"tables": {table: {column: type}}} sets what exists, and is not answered.
// A line {"kql": text} is answered with {"diagnostics": […], "literals": […], "columns": {name: type}}.
"use strict";
process.env.TZ = "UTC"; // the parser keeps a datetime as a Date in local time
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
const { Kusto, Bridge, System } = globalThis;
const { KustoCode, GlobalState, Symbols, Syntax } = Kusto.Language;

const TYPES = {
  BooleanLiteralExpression: "bool", IntLiteralExpression: "int", LongLiteralExpression: "long",
  RealLiteralExpression: "real", DecimalLiteralExpression: "decimal", DateTimeLiteralExpression: "datetime",
  TimespanLiteralExpression: "timespan", GuidLiteralExpression: "guid", StringLiteralExpression: "string",
  NullLiteralExpression: "null",
};
const typeOfKind = new Map(Object.entries(TYPES).map(([name, type]) => [Syntax.SyntaxKind[name], type]));

function globals(tables) {
  const quoted = (columns) => Object.entries(columns).map(([name, type]) => `['${name}']:${type}`).join(", ");
  const symbols = Object.entries(tables).map(([name, columns]) =>
    Symbols.TableSymbol.From(`(${quoted(columns)})`).WithName(name));
  return GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols, false));
}

function items(list) {
  return Array.from({ length: list.Count }, (_, i) => list.getItem(i));
}

// The JavaScript edition cuts datetimes to milliseconds: what is finer comes from the text it has recognised.
function datetimeTicks(text, date) {
  const finer = /\.\d{3}(\d{1,4})/.exec(text)?.[1] ?? "";
  return (BigInt(System.DateTime.getTicks(date).toString()) + BigInt(finer.padEnd(4, "0"))).toString();
}

// It reads no timespan with colons at all, so that its text is read here: [-][d.]hh:mm:ss[.fffffff].
function timespanTicks(text, span) {
  const clock = /^\w+\((-?)(?:(\d+)\.)?(\d+):(\d+):(\d+)(?:\.(\d{1,7}))?\)$/.exec(text.trim());
  if (!clock) return span.getTicks().toString();
  const [, sign, days, hours, minutes, seconds, fraction] = clock;
  const whole = ((BigInt(days ?? 0) * 24n + BigInt(hours)) * 60n + BigInt(minutes)) * 60n + BigInt(seconds);
  return `${sign}${whole * 10000000n + BigInt((fraction ?? "").padEnd(7, "0"))}`;
}

function literal(node) {
  const type = typeOfKind.get(node.Kind) ?? `kind ${node.Kind}`;
  const raw = node.LiteralValue;
  const value = raw !== null && raw.$boxed ? raw.v : raw;
  const minus = node.Parent !== null && node.Parent.Kind === Syntax.SyntaxKind.UnaryMinusExpression ? "-" : "";
  const text = node.Token.Text;
  if (type === "null" || value === null) return { type, value: null };
  if (type === "string" || type === "bool") return { type, value };
  if (type === "datetime") return { type, value: datetimeTicks(text, value) };
  if (type === "timespan") return { type, value: timespanTicks(text, value) };
  // 9223372036854775808 fits only together with its minus, which the parser keeps apart
  if (type === "long" && minus && /^\d+$/.test(text)) return { type, value: minus + text };
  return { type, value: minus + value.toString() };
}

function check(text, state) {
  const code = KustoCode.ParseAndAnalyze(text, state);
  const literals = [];
  Syntax.SyntaxElement.WalkNodes(code.Syntax, (node) => {
    if (Bridge.is(node, Syntax.JsonPair)) literals.push({ type: "key", value: node.Name.ValueText });
    if (Bridge.is(node, Syntax.LiteralExpression)) literals.push(literal(node));
  });
  const columns = code.ResultType?.Columns;
  return {
    diagnostics: items(code.GetDiagnostics()).map((d) => ({
      severity: d.Severity, code: d.Code, message: d.Message, start: d.Start, length: d.Length,
    })),
    literals,
    columns: Object.fromEntries(columns ? items(columns).map((c) => [c.Name, c.Type.Name]) : []),
  };
}

let state = globals({});
require("node:readline").createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  const request = JSON.parse(line);
  if (request.tables) state = globals(request.tables);
  else process.stdout.write(`${JSON.stringify(check(request.kql, state))}\n`);
});
