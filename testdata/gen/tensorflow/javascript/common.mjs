// Folders of TensorFlow.js models on disk, and arrays in JSON: {name: {dtype, shape, values}}.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
const require = createRequire(process.env.NODE_MODULES ? path.join(process.env.NODE_MODULES, "x.js") : import.meta.url);
export const tf = require("@tensorflow/tfjs");
await tf.setBackend("cpu");

const glue = (parts) => {
  const all = Buffer.concat(parts.map((p) => Buffer.from(p)));
  return all.buffer.slice(all.byteOffset, all.byteOffset + all.byteLength);
};

// Saves to `folder`: model.json, and the weights in files of at most `shard` bytes.
export const saver = (folder, shard = 1 << 22) => ({
  save: async (artifacts) => {
    fs.mkdirSync(folder, { recursive: true });
    const data = Buffer.from(glue([artifacts.weightData].flat()));
    const paths = [];
    for (let at = 0; at < data.length; at += shard) {
      paths.push(`weights.${paths.length}.bin`);
      fs.writeFileSync(path.join(folder, paths.at(-1)), data.subarray(at, at + shard));
    }
    const json = {
      modelTopology: artifacts.modelTopology,
      format: artifacts.format,
      generatedBy: artifacts.generatedBy,
      convertedBy: artifacts.convertedBy ?? null,
      weightsManifest: [{ paths, weights: artifacts.weightSpecs }],
    };
    fs.writeFileSync(path.join(folder, "model.json"), JSON.stringify(json) + "\n");
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
  },
});

export const loader = (folder) => ({
  load: async () => {
    const json = JSON.parse(fs.readFileSync(path.join(folder, "model.json")));
    const groups = json.weightsManifest;
    const weightData = glue(groups.flatMap((g) => g.paths.map((p) => fs.readFileSync(path.join(folder, p)))));
    return { ...json, weightSpecs: groups.flatMap((g) => g.weights), weightData };
  },
});

export const dump = (t) => ({ dtype: t.dtype, shape: t.shape, values: Array.from(t.dataSync()) });
export const restore = ({ dtype, shape, values }) => tf.tensor(values, shape, dtype);
export const readArrays = (file) =>
  Object.fromEntries(Object.entries(JSON.parse(fs.readFileSync(file))).map(([k, v]) => [k, restore(v)]));
export const writeArrays = (file, tensors) =>
  fs.writeFileSync(file, JSON.stringify(Object.fromEntries(Object.entries(tensors).map(([k, t]) => [k, dump(t)]))));
