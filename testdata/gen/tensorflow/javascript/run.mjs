// run.mjs graph|layers FOLDER INPUTS OUTPUTS: what TensorFlow.js computes with the model in FOLDER, arrays by name (layers: in order).
import { tf, loader, readArrays, writeArrays } from "./common.mjs";
const [kind, folder, from, to] = process.argv.slice(2);
const inputs = readArrays(from);
if (kind === "graph") {
  const model = await tf.loadGraphModel(loader(folder));
  const names = Object.keys(model.modelSignature.outputs).sort();
  const values = Object.fromEntries(Object.entries(inputs).map(([k, t]) => [model.modelSignature.inputs[k].name, t]));
  const given = await model.executeAsync(values, names.map((n) => model.modelSignature.outputs[n].name));
  writeArrays(to, Object.fromEntries([given].flat().map((t, i) => [names[i], t])));
} else {
  const model = await tf.loadLayersModel(loader(folder));
  const given = model.predict(Object.values(inputs));
  writeArrays(to, Object.fromEntries([given].flat().map((t, i) => [`${i}`, t])));
}
