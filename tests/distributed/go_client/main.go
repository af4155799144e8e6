// A client of TensorFlow Serving in Go, on stubs generated from its public protos: asks a model for its state and for
// items, and prints what it heard as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	tensorflow "multigrain.test/client/gen/tensorflow"
	serving "multigrain.test/client/gen/tensorflow_serving"
)

func shape(sizes ...int64) *tensorflow.TensorShapeProto {
	made := &tensorflow.TensorShapeProto{}
	for _, size := range sizes {
		made.Dim = append(made.Dim, &tensorflow.TensorShapeProto_Dim{Size: size})
	}
	return made
}

func texts(values [][]byte, sizes ...int64) *tensorflow.TensorProto {
	return &tensorflow.TensorProto{Dtype: tensorflow.DataType_DT_STRING, TensorShape: shape(sizes...), StringVal: values}
}

func predict(ctx context.Context, stub serving.PredictionServiceClient, model, signature string,
	inputs map[string]*tensorflow.TensorProto) (map[string]any, error) {
	spec := &serving.ModelSpec{Name: model, SignatureName: signature}
	answer, err := stub.Predict(ctx, &serving.PredictRequest{ModelSpec: spec, Inputs: inputs})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, id := range answer.Outputs["item_ids"].StringVal {
		ids = append(ids, string(id))
	}
	return map[string]any{
		"version":  answer.ModelSpec.GetVersion().GetValue(),
		"item_ids": ids,
		"scores":   answer.Outputs["scores"].FloatVal,
		"columns":  answer.Outputs["scores"].TensorShape.Dim[1].Size,
	}, nil
}

func run(target, model, query string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()

	spec := &serving.ModelSpec{Name: model}
	state, err := serving.NewModelServiceClient(connection).GetModelStatus(ctx, &serving.GetModelStatusRequest{ModelSpec: spec})
	if err != nil {
		return nil, err
	}
	said := map[string]any{"state": state.ModelVersionStatus[0].State.String()}

	stub := serving.NewPredictionServiceClient(connection)
	inputs := map[string]*tensorflow.TensorProto{"query": texts([][]byte{[]byte(query), []byte("")}, 2)}
	if said["serving_default"], err = predict(ctx, stub, model, "", inputs); err != nil {
		return nil, err
	}
	metadata, err := stub.GetModelMetadata(ctx, &serving.GetModelMetadataRequest{ModelSpec: spec, MetadataField: []string{"signature_def"}})
	if err != nil {
		return nil, err
	}
	signatures := &serving.SignatureDefMap{}
	if err := metadata.Metadata["signature_def"].UnmarshalTo(signatures); err != nil {
		return nil, err
	}
	inputs = map[string]*tensorflow.TensorProto{}
	for name, one := range signatures.SignatureDef["retrieve"].Inputs {
		switch {
		case name == "k":
			inputs[name] = &tensorflow.TensorProto{Dtype: tensorflow.DataType_DT_INT32, TensorShape: shape(1), IntVal: []int32{3}}
		case name == "price_range": // open at both ends
			open := float32(math.NaN())
			inputs[name] = &tensorflow.TensorProto{Dtype: tensorflow.DataType_DT_FLOAT, TensorShape: shape(1, 2), FloatVal: []float32{open, open}}
		case name == "query":
			inputs[name] = texts([][]byte{[]byte(query)}, 1)
		default:
			width := one.TensorShape.Dim[1].Size
			inputs[name] = texts(make([][]byte, width), 1, width)
		}
	}
	if said["retrieve"], err = predict(ctx, stub, model, "retrieve", inputs); err != nil {
		return nil, err
	}
	_, err = predict(ctx, stub, "no such model", "", inputs)
	said["refusal"] = status.Code(err).String()
	return said, nil
}

func main() {
	said, err := run(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(said)
}
