import { mount } from 'svelte';
import './app.css';
import Gate from './Gate.svelte';

const target = document.getElementById('app');
if (target) mount(Gate, { target });
