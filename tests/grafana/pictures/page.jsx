// Draws the first screen of a dashboard with Grafana's own components, from answers that are in `window.picture`.
// State timelines are not among the published components: they are drawn here, from Grafana's value mappings.
import {
  createTheme, dateTime, FieldType, getDisplayProcessor, getDisplayValueAlignmentFactors,
  getFieldDisplayName, standardTransformers, standardTransformersRegistry, transformDataFrame, VizOrientation,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { BarGauge, BigValue, BigValueTextMode, GlobalStyles, PanelChrome, ThemeContext, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { firstValueFrom } from 'rxjs';
import { createRoot } from 'react-dom/client';

const CELL = 30;
const GAP = 8;
const COLUMNS = 24;
const HEADER = 34;

const { dashboard, answers, from, to, mode } = window.picture;
const theme = createTheme({ colors: { mode } });
const timeRange = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: 'now-15m', to: 'now' } };
standardTransformersRegistry.setInit(() =>
  ['mergeTransformer', 'organizeFieldsTransformer'].map((name) => ({
    id: standardTransformers[name].id, name, transformation: standardTransformers[name], editor: () => null,
  })));

// Prometheus' answers as frames, as Grafana's data source makes them.
function frames(panel) {
  return (answers[panel.id] ?? []).flatMap(({ target, result }) =>
    target.format === 'table' ? [table(target, result, panel)] : result.map((series) => line(target, series)));
}

function number(text) {
  return { NaN: NaN, '+Inf': Infinity, '-Inf': -Infinity }[text] ?? Number(text);
}

function line(target, series) {
  const points = series.values ?? [series.value];
  const name = target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_, label) => series.metric[label] ?? '');
  return {
    refId: target.refId,
    length: points.length,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([time]) => time * 1000), config: {} },
      {
        name: 'Value', type: FieldType.number, labels: series.metric, values: points.map(([, text]) => number(text)),
        config: { displayNameFromDS: name || target.expr },
      },
    ],
  };
}

function table(target, result, panel) {
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].filter((name) => name !== '__name__');
  const value = panel.targets.length > 1 ? `Value #${target.refId}` : 'Value';
  return {
    refId: target.refId,
    length: result.length,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map(({ value: [time] }) => time * 1000), config: {} },
      ...labels.map((name) => ({
        name, type: FieldType.string, values: result.map(({ metric }) => metric[name] ?? null), config: {},
      })),
      { name: value, type: FieldType.number, values: result.map(({ value: [, text] }) => number(text)), config: {} },
    ],
  };
}

// Each field with the panel's defaults and the overrides that match its name.
function configured(data, { defaults, overrides }) {
  let index = 0;
  for (const frame of data) {
    for (const field of frame.fields) {
      const name = getFieldDisplayName(field, frame, data);
      const config = structuredClone({ ...defaults, ...field.config, custom: { ...defaults.custom } });
      for (const { matcher, properties } of overrides) {
        const matches = matcher.id === 'byName' ? matcher.options === name : new RegExp(`^${matcher.options}$`).test(name);
        for (const { id, value } of matches ? properties : []) {
          (id.startsWith('custom.') ? config.custom : config)[id.replace('custom.', '')] = value;
        }
      }
      if (field.type === FieldType.time) {
        field.config = { custom: {} };
      } else {
        field.config = { ...config, links: undefined };
        field.state = { ...field.state, displayName: name, seriesIndex: index++ };
      }
      field.getLinks = () => config.links ?? [];
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
    }
  }
  return data;
}

function values(panel) {
  return configured(frames(panel), panel.fieldConfig).flatMap((frame) => {
    const field = frame.fields[1];
    return [{ ...field.display(field.values.at(-1)), title: field.state.displayName, field }];
  });
}

function Nothing({ panel, height }) {
  const { defaults } = panel.fieldConfig;
  const color = panel.type === 'stat' ? theme.visualization.getColorByName(defaults.thresholds.steps[0].color) : undefined;
  const size = panel.type === 'stat' ? 26 : 14;
  return (
    <div className="nothing" style={{ height, color: color ?? theme.colors.text.secondary, fontSize: size }}>
      {defaults.noValue}
    </div>
  );
}

function Stat({ panel, width, height }) {
  const { colorMode, graphMode, justifyMode, textMode } = panel.options;
  const found = values(panel);
  if (found.length === 0) return <Nothing panel={panel} height={height} />;
  const each = Math.floor(width / found.length);
  return (
    <div style={{ display: 'flex' }}>
      {found.map((value) => (
        <BigValue key={value.title} theme={theme} width={each} height={height} value={value} colorMode={colorMode}
          graphMode={graphMode} justifyMode={justifyMode} textMode={textMode ?? BigValueTextMode.Auto}
          alignmentFactors={getDisplayValueAlignmentFactors([{ display: value }])} />
      ))}
    </div>
  );
}

function Bars({ panel, width, height }) {
  const found = values(panel);
  if (found.length === 0) return <Nothing panel={panel} height={height} />;
  const most = Math.max(...found.map(({ numeric }) => numeric));
  const factors = getDisplayValueAlignmentFactors(found.map((display) => ({ display })));
  return found.map((value) => (
    <BarGauge key={value.title} theme={theme} width={width} height={24} value={value} displayMode="basic"
      field={{ ...value.field.config, min: 0, max: most }} display={value.field.display} alignmentFactors={factors}
      orientation={VizOrientation.Horizontal} valueDisplayMode="text" text={panel.options.text} namePlacement="left" showUnfilled={false}
      itemSpacing={4} lcdCellWidth={8} />
  ));
}

function Table({ panel, width, height }) {
  const [frame] = configured(panel.merged, panel.fieldConfig);
  if (!frame || frame.length === 0) return <Nothing panel={panel} height={height} />;
  return (
    <TableNG data={frame} width={width} height={height} cellHeight="sm" initialSortBy={panel.options.sortBy}
      timeRange={timeRange} fieldConfig={panel.fieldConfig} structureRev={1} getActions={() => []} />
  );
}

function Lines({ panel, width, height }) {
  const data = configured(frames(panel), panel.fieldConfig);
  if (data.length === 0) return <Nothing panel={panel} height={height} />;
  return (
    <TimeSeries frames={data} structureRev={1} timeRange={timeRange} timeZone="utc" width={width} height={height}
      legend={panel.options.legend} options={panel.options} />
  );
}

function Timeline({ panel, width, height }) {
  const data = configured(frames(panel), panel.fieldConfig).slice(0, panel.options.perPage);
  if (data.length === 0) return <Nothing panel={panel} height={height} />;
  const names = Math.min(260, width / 3);
  const row = Math.min(28, (height - 20) / data.length);
  const place = (time) => ((time / 1000 - from) / (to - from)) * (width - names - 10);
  return data.map((frame) => {
    const [times, field] = frame.fields;
    const step = times.values.length > 1 ? times.values[1] - times.values[0] : 15000;
    const bars = [];
    times.values.forEach((time, index) => {
      const { text, color } = field.display(field.values[index]);
      const last = bars.at(-1);
      if (last && last.text === text && time - last.end <= step * 1.5) last.end = time;
      else bars.push({ text, color, start: time, end: time });
    });
    return (
      <div className="timeline" key={field.state.displayName} style={{ height: row }}>
        <span style={{ width: names }}>{field.state.displayName}</span>
        {bars.map((bar) => (
          <i key={bar.start} style={{
            left: names + place(bar.start), width: Math.max(2, place(bar.end + step) - place(bar.start)),
            background: bar.color, color: theme.colors.getContrastText(bar.color), height: row * panel.options.rowHeight,
          }}>{bar.text}</i>
        ))}
      </div>
    );
  });
}

const KINDS = { stat: Stat, bargauge: Bars, table: Table, timeseries: Lines, 'state-timeline': Timeline };

function Panel({ panel }) {
  const cell = (window.innerWidth - GAP) / COLUMNS;
  const { x, y, w, h } = panel.gridPos;
  const width = Math.floor(w * cell - GAP);
  const height = h * (CELL + GAP) - GAP;
  const style = { position: 'absolute', left: GAP + x * cell, top: HEADER + y * (CELL + GAP), width, height };
  if (panel.type === 'row') {
    return <div style={style} className="row">▸ {panel.title} <small> {panel.panels.length}</small></div>;
  }
  if (panel.type === 'text') {
    const html = panel.options.content.replace(/\*\*(.+?)\*\*/g, '<b>$1</b>').replace(/\*(.+?)\*/g, '<em>$1</em>')
      .replace(/\[(.+?)\]\(.+?\)/g, '<a>$1</a>');
    return <div style={style} className="note" dangerouslySetInnerHTML={{ __html: html }} />;
  }
  const Kind = KINDS[panel.type];
  return (
    <div style={style} className="panel" data-title={panel.title}>
      <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
        {(innerWidth, innerHeight) => (Kind
          ? <Kind panel={panel} width={innerWidth} height={innerHeight} />
          : <div className="nothing" style={{ height: innerHeight }}>{panel.type}: not drawn here</div>)}
      </PanelChrome>
    </div>
  );
}

function Dashboard({ panels }) {
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles isExtensionSidebarOpen={false} />
      <div className="title" style={{ color: theme.colors.text.primary }}>{dashboard.title}</div>
      {panels.map((panel) => <Panel key={panel.id} panel={panel} />)}
    </ThemeContext.Provider>
  );
}

const open = dashboard.panels.flatMap((panel) => (panel.type === 'row' && !panel.collapsed ? [panel, ...panel.panels] : [panel]));
await initPluginTranslations('grafana');
for (const panel of open) {
  if (panel.type === 'table') panel.merged = await firstValueFrom(transformDataFrame(panel.transformations, frames(panel)));
}
document.body.style.background = theme.colors.background.canvas;
document.body.style.color = theme.colors.text.primary;
createRoot(document.getElementById('root')).render(<Dashboard panels={open} />);
